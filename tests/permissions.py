# SPDX-License-Identifier: Apache-2.0
"""Who may do what by the default rules: a table that tests prove and the documentation shows.

``python -m tests.permissions`` writes the page anew. A rule that is not in the table is a failed
test (``tests/unit/test_policy.py``): give each of its operations a :class:`Call`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / 'doc/source/reference/permissions.rst'

OWNER, SHARING, STRANGER, SERVICES = 'owner', 'sharing', 'stranger', 'services'
MEMBER, READER = ('Member', 'Reader'), ('READER',)


@dataclasses.dataclass(frozen=True)
class Persona:
    """A caller: the heading of its column, who that is, its project and its roles in it."""

    name: str
    meaning: str
    project: str | None
    roles: tuple[str, ...]


ADMIN = Persona('admin', 'Has the role admin, in whatever project.', 'anywhere', ('Admin', *MEMBER))
PROJECT_MEMBER = Persona('member', 'Has the role member in the owning project.', OWNER, MEMBER)
PROJECT_READER = Persona('reader', 'Has only the role reader there.', OWNER, READER)
NO_ROLE = Persona('no role', 'Has none of these roles there.', OWNER, ('auditor',))
SERVICE = Persona(
    'service', 'Is another service: has only the role service.', SERVICES, ('Service',)
)
IMAGE_MEMBER = Persona(
    'image member',
    'Has the role member in a project with which the image is shared.',
    SHARING,
    MEMBER,
)
IMAGE_READER = Persona('image reader', 'Has only the role reader there.', SHARING, READER)
OTHER_MEMBER = Persona('other', 'Has the role member in any other project.', STRANGER, MEMBER)
OTHER_READER = Persona('other reader', 'Has only the role reader there.', STRANGER, READER)
ANONYMOUS = Persona('anonymous', 'Has no token, where ``allow_anonymous_access`` is on.', None, ())

PERSONAS = (
    ADMIN,
    PROJECT_MEMBER,
    PROJECT_READER,
    NO_ROLE,
    SERVICE,
    IMAGE_MEMBER,
    IMAGE_READER,
    OTHER_MEMBER,
    OTHER_READER,
    ANONYMOUS,
)
#: Of a call that is about no image there are no owners.
CALLERS = (ADMIN, PROJECT_MEMBER, PROJECT_READER, NO_ROLE, SERVICE, ANONYMOUS)

#: One character for each persona: ``+`` it is done, ``3`` it is forbidden, ``4`` the image is not
#: there for the caller, ``-`` the answer has not what the call is about.
YES, FORBIDDEN, NOT_THERE, HIDDEN = '+', '3', '4', '-'
WORDS = {YES: 'yes', FORBIDDEN: '403', NOT_THERE: '404', HIDDEN: 'hidden'}

#: From a visibility to what each persona gets.
Outcome = dict[str, str]

# the columns:        admin, owner's member, reader, no role, service, image's, other's, anonymous
SEE: Outcome = {
    'private': '+++4444444',
    'shared': '+++44++444',
    'community': '+++44+++++',
    'public': '+++44+++++',
}
GET_DATA: Outcome = {
    'private': '++34444444',
    'shared': '++344+3444',
    'community': '++344+3+33',
    'public': '++344+3+33',
}
CHANGE: Outcome = {
    'private': '++34444443',
    'shared': '++34433443',
    'community': '++34433333',
    'public': '++34433333',
}
ADMINISTRATE: Outcome = {
    'private': '+334444443',
    'shared': '+334433443',
    'community': '+334433333',
    'public': '+334433333',
}
REGISTER: Outcome = {
    'private': '++34+44443',
    'shared': '++34+33443',
    'community': '++34+33333',
    'public': '++34+33333',
}
LOCATE: Outcome = {
    'private': '+334+44444',
    'shared': '+334+33444',
    'community': '+334+33333',
    'public': '+334+33333',
}
SEE_LOCATIONS: Outcome = {
    'private': '+++4444444',
    'shared': '+++44--444',
    'community': '+++44-----',
    'public': '+++44-----',
}
SEE_MEMBERS: Outcome = {'shared': '+++44++444'}
ANSWER_AS_MEMBER: Outcome = {'shared': '+3344+3443'}
CHANGE_MEMBERS: Outcome = {'shared': '++34433443'}


@dataclasses.dataclass(frozen=True)
class Call:
    """One request, and who may make it.

    :param rule: the rule that decides.
    :param path: as the rule names it.
    :param expected: what each of :data:`PERSONAS` gets, by visibility; or, of a call that is
        about no image, a text for :data:`CALLERS`.
    :param state: the status that the image must have for the call to make sense.
    :param more: what the reader must know beside the method and the path.
    :param field: what of the answer the call is about, if not all of it.
    """

    rule: str
    method: str
    path: str
    expected: Outcome | str
    state: str = 'active'
    body: Any = None
    query: str = ''
    more: str = ''
    field: str = ''

    @property
    def title(self) -> str:
        """The call as the page names it."""
        about = f' ({self.more})' if self.more else ''
        return f'``{self.method} {self.path}{self.query}``{about}'


_IMAGE = '/v2/images/{image_id}'
_MEMBER = _IMAGE + '/members/{member_id}'
_TAG = _IMAGE + '/tags/{value}'
_LOCATIONS = _IMAGE + '/locations'
_STORE = '/v2/stores/{store_id}/{image_id}'
#: Of all calls of tasks: one rule keeps all but administrators out.
TASKS = '+33333'
NEW_TASK = {
    'type': 'import',
    'input': {
        'import_from': 'http://1.1.1.1/disk.raw',
        'import_from_format': 'raw',
        'image_properties': {'name': 'mine'},
    },
}


def _replace(name: str, value: Any) -> list[dict[str, Any]]:
    return [{'op': 'replace', 'path': f'/{name}', 'value': value}]


CALLS = (
    Call('get_images', 'GET', '/v2/images', '+++33+'),
    Call('get_images', 'GET', '/v1/images/detail', '+++33+'),
    Call('add_image', 'POST', '/v2/images', '++3333', body={'name': 'mine'}),
    Call(
        'add_image',
        'POST',
        '/v2/images',
        '+33333',
        body={'owner': 'nobody-here'},
        more='for another owner',
    ),
    Call(
        'publicize_image',
        'POST',
        '/v2/images',
        '+33333',
        body={'visibility': 'public'},
        more='public',
    ),
    Call(
        'communitize_image',
        'POST',
        '/v2/images',
        '++3333',
        body={'visibility': 'community'},
        more='community',
    ),
    Call('get_image', 'GET', _IMAGE, SEE),
    Call('get_image', 'GET', _IMAGE + '/tasks', SEE),
    Call('modify_image', 'PATCH', _IMAGE, CHANGE, body=_replace('name', 'changed')),
    Call(
        'publicize_image',
        'PATCH',
        _IMAGE,
        ADMINISTRATE,
        body=_replace('visibility', 'public'),
        more='making it public',
    ),
    Call(
        'communitize_image',
        'PATCH',
        _IMAGE,
        CHANGE,
        body=_replace('visibility', 'community'),
        more='making it a community image',
    ),
    Call('modify_image', 'PUT', _TAG, CHANGE),
    Call('modify_image', 'DELETE', _TAG, CHANGE),
    Call('delete_image', 'DELETE', _IMAGE, CHANGE),
    Call('upload_image', 'PUT', _IMAGE + '/file', CHANGE, state='queued', body=b'data'),
    Call('download_image', 'GET', _IMAGE + '/file', GET_DATA),
    Call('download_from_store', 'GET', _IMAGE + '/file', GET_DATA, query='?prefer=cold'),
    Call('modify_image', 'PUT', _IMAGE + '/stage', CHANGE, state='queued', body=b'data'),
    Call(
        'modify_image',
        'POST',
        _IMAGE + '/import',
        CHANGE,
        state='uploading',
        body={'method': {'name': 'glance-direct'}},
    ),
    Call(
        'copy_image',
        'POST',
        _IMAGE + '/import',
        ADMINISTRATE,
        body={'method': {'name': 'copy-image'}, 'stores': ['cold']},
        more='the method copy-image',
    ),
    Call(
        'modify_image',
        'POST',
        _IMAGE + '/actions/cancel_import',
        CHANGE,
        state='importing',
    ),
    Call('deactivate', 'POST', _IMAGE + '/actions/deactivate', CHANGE),
    Call('reactivate', 'POST', _IMAGE + '/actions/reactivate', CHANGE, state='deactivated'),
    Call('get_members', 'GET', _IMAGE + '/members', SEE_MEMBERS),
    Call('get_member', 'GET', _MEMBER, SEE_MEMBERS),
    Call('get_member', 'GET', _IMAGE + '/members', SEE_MEMBERS, more='each member of the list'),
    Call('add_member', 'POST', _IMAGE + '/members', CHANGE_MEMBERS, body={'member': 'one-more'}),
    Call('modify_member', 'PUT', _MEMBER, ANSWER_AS_MEMBER, body={'status': 'accepted'}),
    Call('delete_member', 'DELETE', _MEMBER, CHANGE_MEMBERS),
    Call(
        'add_image_location',
        'POST',
        _LOCATIONS,
        REGISTER,
        state='queued',
        body={'url': 'https://203.0.113.9/disk'},
    ),
    Call('fetch_image_location', 'GET', _LOCATIONS, LOCATE),
    Call(
        'set_image_location',
        'PATCH',
        _IMAGE,
        CHANGE,
        state='located',
        body=_replace('locations', [{'url': 'file:///nowhere', 'metadata': {'rack': 'a'}}]),
        more='its locations',
    ),
    Call('delete_image_location', 'DELETE', _STORE, ADMINISTRATE, state='copied'),
    Call(
        'delete_image_location',
        'PATCH',
        _IMAGE,
        ADMINISTRATE,
        state='copied',
        body=[{'op': 'remove', 'path': '/locations/1'}],
        more='removing one of its locations',
    ),
    Call('get_image_location', 'DELETE', _STORE, ADMINISTRATE, state='copied'),
    Call(
        'get_image_location',
        'GET',
        _IMAGE,
        SEE_LOCATIONS,
        field='locations',
        more='its locations',
    ),
    Call('tasks_api_access', 'GET', '/v2/tasks', TASKS),
    Call('tasks_api_access', 'POST', '/v2/tasks', TASKS, body=NEW_TASK),
    Call('tasks_api_access', 'GET', '/v2/tasks/{task_id}', TASKS),
    Call('tasks_api_access', 'POST', '/v2/tasks/{task_id}/actions/cancel', TASKS),
    Call('get_tasks', 'GET', '/v2/tasks', TASKS),
    Call('add_task', 'POST', '/v2/tasks', TASKS, body=NEW_TASK),
    Call('get_task', 'GET', '/v2/tasks/{task_id}', TASKS),
    Call('modify_task', 'POST', '/v2/tasks/{task_id}/actions/cancel', TASKS),
    Call('stores_info_detail', 'GET', '/v2/info/stores/detail', '+333+3'),
)


def render() -> str:
    """Return the page of the documentation."""
    parts = [_INTRODUCTION, _legend()]
    by_rule: dict[str, list[Call]] = {}
    for call in CALLS:
        by_rule.setdefault(call.rule, []).append(call)
    for rule, calls in by_rule.items():
        parts.append(f'{rule}\n{"-" * len(rule)}')
        parts += [_table(call) for call in calls]
    return '\n\n'.join(parts) + '\n'


def _legend() -> str:
    rows = [f'   * - {each.name}\n     - {each.meaning}' for each in PERSONAS]
    return (
        'Callers\n=======\n\n.. list-table::\n   :header-rows: 1\n   :widths: 20 80\n\n'
        '   * - caller\n     - meaning\n' + '\n'.join(rows) + '\n\nRules\n====='
    )


def _table(call: Call) -> str:
    if isinstance(call.expected, str):
        rows, personas = [('', call.expected)], CALLERS
    else:
        rows, personas = _merged(call.expected), PERSONAS
    lines = [f'.. csv-table:: {call.title}', '   :header-rows: 1', '']
    lines.append('   ' + ', '.join(['visibility', *(each.name for each in personas)]))
    for name, outcome in rows:
        cells = ', '.join(WORDS[each] for each in outcome)
        lines.append(f'   "{name}", {cells}' if name else f'   , {cells}')
    if not rows[0][0]:
        lines = [line.replace('   visibility, ', '   ').replace('   , ', '   ') for line in lines]
    return '\n'.join(lines)


def _merged(expected: Outcome) -> list[tuple[str, str]]:
    """Return the rows, with visibilities of the same outcome in one."""
    names: dict[str, list[str]] = {}
    for visibility, outcome in expected.items():
        names.setdefault(outcome, []).append(visibility)
    return [(', '.join(found), outcome) for outcome, found in names.items()]


_INTRODUCTION = """\
===================
Permissions in full
===================

.. Written by python -m tests.permissions; the tests make every request of these tables.

What the default rules permit. Each cell is the answer that the caller gets to the call: *yes*,
*403* (forbidden), or *404*, as for an image that does not exist: whoever may not see an image is
not told that there is one. *hidden* is an answer without what the call is about. What the rules
mean is on the page :doc:`policies`, how to change them in :doc:`/admin/policies`.

Keystone implies roles: whoever is an admin is a member, and whoever is a member is a reader."""


if __name__ == '__main__':
    PAGE.write_text(render())
