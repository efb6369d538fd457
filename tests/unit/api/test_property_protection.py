# SPDX-License-Identifier: Apache-2.0
"""Protected properties in every call that writes or shows one, and injected by imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from glance_lite.conductor.conductor import ImportConductor

from .conftest import FORMATS, Api, error

ADMIN, MEMBER, READER = 'ops:admin,member,reader', 'p2:member,reader', 'p2:reader'
#: The recipe of the field for injected properties, and one for each way to be protected.
FILE = """
[^property1$]
create = admin,service_role
read = admin,service_role,member,_member_
update = admin
delete = admin
[^hidden$]
create = admin
read = admin
update = @
delete = @
[^drop$]
create = @
read = admin
update = @
delete = @
[^mine_]
create = @
read = @
update = @
delete = @
"""
INJECT = (
    '[image_import_opts]\nimage_import_plugins = [inject_image_metadata]\n'
    '[inject_metadata_properties]\nignore_user_roles = admin\n'
    'inject = "property1":"approved","hidden":"stamp"\n'
)
JSON_2_0 = {'Content-Type': 'application/openstack-images-v2.0-json-patch'}


@pytest.fixture
def guarded(make_api: Callable[..., Api], tmp_path: Path) -> Api:
    """Return an application with the protections above that injects two properties."""
    (tmp_path / 'rules.conf').write_text(FILE)
    return make_api(INJECT + '[DEFAULT]\nproperty_protection_file = rules.conf\n')


def patch(api: Api, path: str, op: str, name: str, caller: str, value: str = 'v') -> int:
    body = [{'op': op, 'path': f'/{name}', 'value': value}]
    if op == 'remove':
        del body[0]['value']
    return api.call('PATCH', path, body, caller=caller).status_int


@pytest.mark.parametrize(
    ('name', 'by_admin', 'by_member'),
    [('property1', 201, 403), ('hidden', 201, 403), ('drop', 201, 201), ('mine_x', 201, 201)],
)
def test_creating(guarded: Api, name: str, by_admin: int, by_member: int) -> None:
    for caller, status in ((ADMIN, by_admin), (MEMBER, by_member)):
        answer = guarded.call('POST', '/v2/images', {name: 'v'}, caller=caller)
        assert answer.status_int == status
        if status == 403:
            assert answer.json['error']['message'] == (
                f"The property '{name}' is protected; you are not permitted to create it."
            )


def test_a_property_that_no_section_fits_is_for_nobody(guarded: Api) -> None:
    for caller in (ADMIN, MEMBER):
        answer = guarded.call('POST', '/v2/images', {'else': 'v'}, caller=caller)
        assert error(answer) == (403, 'forbidden')
    path = guarded.create(caller=MEMBER)
    assert patch(guarded, path, 'add', 'else', ADMIN) == 403


@pytest.mark.parametrize(
    ('op', 'name', 'by_member', 'by_admin'),
    [
        ('add', 'property1', 403, 200),
        ('replace', 'property1', 403, 200),
        ('remove', 'property1', 403, 200),
        ('add', 'hidden', 403, 200),
        ('replace', 'hidden', 403, 200),
        ('remove', 'hidden', 403, 200),
        ('add', 'mine_x', 200, 200),
        ('replace', 'mine_x', 200, 200),
        ('remove', 'mine_x', 200, 409),  # the member has removed it
    ],
)
def test_changing_what_is_there(
    guarded: Api, op: str, name: str, by_member: int, by_admin: int
) -> None:
    path = guarded.create(caller=ADMIN, owner='p2', property1='a', hidden='b', mine_x='c')
    assert patch(guarded, path, op, name, MEMBER) == by_member
    if by_member == 403:
        shown = guarded.get(path, caller=ADMIN).json
        assert (shown['property1'], shown['hidden']) == ('a', 'b')
    assert patch(guarded, path, op, name, ADMIN) == by_admin


@pytest.mark.parametrize('op', ['replace', 'remove'])
@pytest.mark.parametrize(('name', 'status'), [('hidden', 403), ('property1', 403), ('mine_x', 409)])
def test_a_patch_does_not_tell_whether_a_hidden_property_is_there(
    guarded: Api, op: str, name: str, status: int
) -> None:
    assert patch(guarded, guarded.create(caller=MEMBER), op, name, MEMBER) == status


def test_the_older_patch_is_guarded_too(guarded: Api) -> None:
    path = guarded.create(caller=ADMIN, owner='p2', hidden='b')
    for body in ({'add': '/hidden', 'value': 'x'}, {'remove': '/hidden'}):
        request = {'body': [body], 'headers': JSON_2_0, 'caller': MEMBER}
        assert error(guarded.call('PATCH', path, **request)) == (403, 'forbidden')
    assert guarded.get(path, caller=ADMIN).json['hidden'] == 'b'


def test_what_may_be_created_but_not_read_cannot_be_overwritten(guarded: Api) -> None:
    path = guarded.create(caller=MEMBER)
    assert patch(guarded, path, 'add', 'drop', MEMBER, 'first') == 200
    assert patch(guarded, path, 'add', 'drop', MEMBER, 'second') == 403
    assert guarded.get(path, caller=ADMIN).json['drop'] == 'first'


def test_no_answer_shows_what_the_caller_may_not_read(guarded: Api) -> None:
    path = guarded.create(caller=ADMIN, owner='p2', property1='a', hidden='b', mine_x='c')
    body = [{'op': 'replace', 'path': '/name', 'value': 'n'}]
    answers = [
        guarded.get(path, caller=MEMBER).json,
        guarded.get('/v2/images', caller=MEMBER).json['images'][0],
        guarded.call('PATCH', path, body, caller=MEMBER).json,
        guarded.call('POST', '/v2/images', {'mine_x': 'c', 'drop': 'd'}, caller=MEMBER).json,
    ]
    for shown in answers:
        assert 'hidden' not in shown and 'drop' not in shown
        assert shown['mine_x'] == 'c'
    assert [shown.get('property1') for shown in answers] == ['a', 'a', 'a', None]
    assert 'property1' not in guarded.get(path, caller=READER).json
    shown = guarded.get('/v2/images', caller=ADMIN).json['images']
    assert [image['hidden'] for image in shown if image['id'] == path[-36:]] == ['b']


def test_a_change_keeps_what_the_caller_does_not_see(guarded: Api) -> None:
    path = guarded.create(caller=ADMIN, owner='p2', hidden='b')
    assert patch(guarded, path, 'add', 'mine_x', MEMBER) == 200
    assert guarded.get(path, caller=ADMIN).json['hidden'] == 'b'


def test_no_filter_finds_what_the_caller_may_not_read(guarded: Api) -> None:
    guarded.create(caller=ADMIN, owner='p2', hidden='b', mine_x='c')
    for query, caller, count in (
        ('hidden=b', ADMIN, 1),
        ('hidden=b', MEMBER, 0),
        ('mine_x=c', MEMBER, 1),
        ('mine_x=c&hidden=b', MEMBER, 0),
    ):
        answer = guarded.get(f'/v2/images?{query}', caller=caller)
        # an administrator's default listing has the images of all
        assert (answer.status_int, len(answer.json['images'])) == (200, count), (query, caller)


def test_an_import_injects_what_its_user_may_not_set_nor_change(guarded: Api) -> None:
    path = guarded.create(caller=MEMBER, **FORMATS)
    assert guarded.call('PUT', path + '/stage', b'data', caller=MEMBER).status_int == 204
    body = {'method': {'name': 'glance-direct'}}
    assert guarded.call('POST', path + '/import', body, caller=MEMBER).status_int == 202
    ImportConductor(guarded.services).run_pending()
    shown = guarded.get(path, caller=MEMBER).json
    assert (shown['status'], shown['property1']) == ('active', 'approved')
    assert 'hidden' not in shown
    assert guarded.get(path, caller=ADMIN).json['hidden'] == 'stamp'
    for op in ('add', 'replace', 'remove'):
        assert patch(guarded, path, op, 'property1', MEMBER) == 403
    assert guarded.get(path + '/tasks', caller=MEMBER).json['tasks'][0]['status'] == 'success'


def test_the_properties_of_the_service_need_no_section(guarded: Api) -> None:
    path = guarded.create(caller=MEMBER, **FORMATS)
    assert guarded.call('PUT', path + '/stage', b'data', caller=MEMBER).status_int == 204
    body = {'method': {'name': 'glance-direct'}}
    assert guarded.call('POST', path + '/import', body, caller=MEMBER).status_int == 202
    shown = guarded.get(path, caller=MEMBER).json
    assert shown['os_glance_importing_to_stores'] == 'fast'
    body = {'os_glance_x': 'v'}
    assert guarded.call('POST', '/v2/images', body, caller=ADMIN).status_int == 403


def test_schemas_know_nothing_of_protections(guarded: Api, make_api: Callable[..., Api]) -> None:
    shown = guarded.get('/v2/schemas/image', caller=READER).json
    assert shown == make_api().get('/v2/schemas/image', caller=READER).json
