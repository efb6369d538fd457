# SPDX-License-Identifier: Apache-2.0
"""The house: a room imports only rooms below it, and some things live in one room only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'glance_lite'

#: Rooms by floor, the lowest first. A room may import lower floors and itself.
FLOORS = [
    {'exceptions', '__init__', 'server', 'supervisor'},
    {'conf', 'policies', 'context', 'metrics'},
    {'domain'},
    {
        'remote',
        'stores',
        'plugin',
        'policy',
        'image_properties',
        'property_protection',
        'middleware',
        'inspection',
        'notifications',
        'unified_limits',
    },
    {'db', 'image_data'},
    {'quotas'},
    {'jobs', 'receiving', 'removing', 'exporting', 'creating', 'watching', 'swift_sign_in'},
    {'services'},
    {'image_import'},
    {'api', 'conductor'},
    {'configuration', 'deploy', 'maintenance'},
    {'cmd', 'testing', 'client', 'wsgi'},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
#: Rooms on one floor that may be imported by their neighbours.
NEIGHBOURS = {
    ('cmd', 'client'): 'the program is a door of the client room',
    ('stores', 'remote'): 'the store of URLs fetches as downloads do, under the same filter',
    ('cmd', 'testing'): 'the quick start makes its sample disk with the author kit',
}


def modules():
    return sorted(PACKAGE.rglob('*.py'))


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def rooms_used(path):
    for name in imported(path):
        parts = name.split('.')
        if parts[0] == 'glance_lite' and len(parts) > 1 and parts[1] in FLOOR_OF:
            yield parts[1]


@pytest.mark.parametrize('path', modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_is_below(path):
    room = room_of(path)
    assert room in FLOOR_OF, f'{room} has no floor yet'
    wrong = {
        used
        for used in rooms_used(path)
        if used != room and FLOOR_OF[used] >= FLOOR_OF[room] and (room, used) not in NEIGHBOURS
    }
    assert not wrong, f'{path.relative_to(PACKAGE)} imports {sorted(wrong)}'


def test_eventlet_is_in_the_server_room_alone():
    users = {
        room_of(path)
        for path in modules()
        if any(name.split('.')[0] == 'eventlet' for name in imported(path))
    }
    assert users == {'server'}


def test_sql_is_in_the_database_room_alone():
    users = {
        room_of(path)
        for path in modules()
        if any(name.split('.')[0] in ('sqlalchemy', 'alembic') for name in imported(path))
    }
    assert users == {'db'}


def test_the_global_configuration_is_in_the_programs_alone():
    users = {
        room_of(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr == 'CONF'
        and isinstance(node.value, ast.Name)
        and node.value.id == 'cfg'
    }
    assert users <= {'cmd', 'wsgi', 'policy'}, users


def test_handlers_and_steps_do_not_import_each_other():
    for room in ('api/handlers', 'image_import/steps'):
        prefix = 'glance_lite.' + room.replace('/', '.') + '.'
        for path in (PACKAGE / room).glob('*.py'):
            if path.stem != '__init__':
                assert not [name for name in imported(path) if name.startswith(prefix)], path


@pytest.mark.parametrize('path', modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_opens_with_its_licence_and_its_purpose(path):
    if not path.read_text():
        return
    assert path.read_text().startswith('# SPDX-License-Identifier: Apache-2.0\n')
    assert ast.get_docstring(ast.parse(path.read_text())), 'no docstring'
