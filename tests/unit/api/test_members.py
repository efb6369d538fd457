# SPDX-License-Identifier: Apache-2.0
"""Sharing: who may do what with members, and what members may do with the image."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glance_lite.db import members

from .conftest import PATCH, Api, error

OWNER, OWNERS_READER = 'p1:member,reader', 'p1:reader'
MEMBER, MEMBERS_READER = 'p2:member,reader', 'p2:reader'
OTHER_MEMBER, STRANGER = 'p3:member,reader', 'p4:member,reader'
ADMIN = 'p9:admin,member,reader'
NOT_SEEN, NO_MEMBER, FORBIDDEN = (
    (404, 'image_not_found'),
    (404, 'member_not_found'),
    (403, 'forbidden'),
)


def share(api: Api, path: str, *projects: str) -> None:
    for project in projects:
        answer = api.call('POST', path + '/members', {'member': project}, caller=OWNER)
        assert answer.status_int == 200, answer.body


def answer_with(api: Api, path: str, project: str, status: str, caller: str = MEMBER) -> Any:
    return api.call('PUT', f'{path}/members/{project}', {'status': status}, caller=caller)


def set_visibility(api: Api, path: str, visibility: str) -> None:
    change = [{'op': 'replace', 'path': '/visibility', 'value': visibility}]
    assert api.call('PATCH', path, change, caller=ADMIN).status_int == 200


def members_of(api: Api, path: str, caller: str = OWNER) -> list[str]:
    return [each['member_id'] for each in api.get(path + '/members', caller=caller).json['members']]


def result(answer: Any) -> tuple[int, str]:
    return (answer.status_int, '') if answer.status_int < 400 else error(answer)


@pytest.fixture
def path(api: Api) -> str:
    """Return the path of an image of project p1, shared with p2 and p3."""
    made = api.create(caller=OWNER, name='n')
    share(api, made, 'p2', 'p3')
    return made


def test_a_member_is_shown_with_every_attribute(api: Api) -> None:
    path = api.create(caller=OWNER)
    answer = api.call('POST', path + '/members', {'member': 'p2', 'more': 1}, caller=OWNER)
    member = answer.json
    assert answer.status_int == 200
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', member['created_at'])
    assert member == {
        'member_id': 'p2',
        'image_id': path.rpartition('/')[2],
        'status': 'pending',
        'created_at': member['created_at'],
        'updated_at': member['created_at'],
        'schema': '/v2/schemas/member',
    }
    assert api.get(path + '/members', caller=OWNER).json == {
        'members': [member],
        'schema': '/v2/schemas/members',
    }
    assert api.get(path + '/members/p2', caller=OWNER).json == member


def test_the_answer_of_a_member_decides_what_it_lists_and_not_what_it_sees(api: Api) -> None:
    path = api.upload(b'data', owner='p1')
    share(api, path, 'p2')

    def listed(query: str = '') -> int:
        return len(api.get('/v2/images' + query, caller=MEMBER).json['images'])

    for status in ('pending', 'accepted', 'rejected', 'pending'):
        answer = answer_with(api, path, 'p2', status)
        assert (answer.status_int, answer.json['status']) == (200, status)
        assert api.get(path, caller=MEMBER).status_int == 200
        assert api.get(path + '/file', caller=MEMBER).body == b'data'
        assert api.get(path + '/tasks', caller=MEMBER).status_int == 200
        assert listed() == listed('?visibility=shared') == (status == 'accepted')
        assert listed(f'?member_status={status}') == listed('?member_status=all') == 1
    assert api.get(path + '/members/p2', caller=OWNER).json['status'] == 'pending'


def test_a_member_changes_nothing_of_the_image(api: Api, path: str) -> None:
    change = [{'op': 'replace', 'path': '/name', 'value': 'mine'}]
    for method, where, body in (
        ('PATCH', '', change),
        ('DELETE', '', None),
        ('PUT', '/tags/x', None),
        ('PUT', '/file', b'data'),
        ('PUT', '/stage', b'data'),
        ('POST', '/import', {'method': {'name': 'glance-direct'}}),
        ('POST', '/actions/deactivate', None),
        ('POST', '/members', {'member': 'p4'}),
    ):
        assert error(api.call(method, path + where, body, caller=MEMBER)) == FORBIDDEN, where
    assert api.get(path).json['name'] == 'n' and members_of(api, path) == ['p2', 'p3']


@pytest.mark.parametrize(
    ('caller', 'listed', 'show', 'answer', 'remove', 'add'),
    [
        (OWNER, ['p2', 'p3'], (200, ''), FORBIDDEN, (204, ''), (200, '')),
        (OWNERS_READER, ['p2', 'p3'], (200, ''), FORBIDDEN, FORBIDDEN, FORBIDDEN),
        (ADMIN, ['p2', 'p3'], (200, ''), (200, ''), (204, ''), (200, '')),
        (MEMBER, ['p2'], (200, ''), (200, ''), FORBIDDEN, FORBIDDEN),
        (MEMBERS_READER, ['p2'], (200, ''), FORBIDDEN, FORBIDDEN, FORBIDDEN),
        (OTHER_MEMBER, ['p3'], NO_MEMBER, NO_MEMBER, NO_MEMBER, FORBIDDEN),
        (STRANGER, None, NOT_SEEN, NOT_SEEN, NOT_SEEN, NOT_SEEN),
    ],
)
def test_who_may_do_what(
    api: Api, path: str, caller: str, listed: Any, show: Any, answer: Any, remove: Any, add: Any
) -> None:
    member = path + '/members/p2'
    answer_list = api.get(path + '/members', caller=caller)
    if listed is None:
        assert error(answer_list) == NOT_SEEN
    else:
        assert [each['member_id'] for each in answer_list.json['members']] == listed
    assert result(api.get(member, caller=caller)) == show
    assert result(answer_with(api, path, 'p2', 'accepted', caller)) == answer
    kept = 'accepted' if answer[0] == 200 else 'pending'
    assert api.get(member, caller=OWNER).json['status'] == kept
    assert result(api.call('DELETE', member, caller=caller)) == remove
    assert ('p2' in members_of(api, path)) == (remove[0] != 204)
    assert result(api.call('POST', path + '/members', {'member': 'p5'}, caller=caller)) == add
    assert ('p5' in members_of(api, path)) == (add[0] == 200)


def test_who_is_no_member_any_more_sees_nothing(api: Api, path: str) -> None:
    assert answer_with(api, path, 'p2', 'accepted').status_int == 200
    assert api.call('DELETE', path + '/members/p2', caller=OWNER).status_int == 204
    for where in ('', '/file', '/members', '/members/p2'):
        assert error(api.get(path + where, caller=MEMBER)) == NOT_SEEN
    assert api.get('/v2/images?member_status=all', caller=MEMBER).json['images'] == []
    assert error(api.call('DELETE', path + '/members/p2', caller=OWNER)) == NO_MEMBER
    share(api, path, 'p2')
    assert api.get(path + '/members/p2', caller=OWNER).json['status'] == 'pending'


def test_members_grant_nothing_while_the_image_is_not_shared(api: Api, path: str) -> None:
    answer_with(api, path, 'p2', 'accepted')
    set_visibility(api, path, 'private')
    assert error(api.get(path, caller=MEMBER)) == NOT_SEEN
    assert error(api.get(path + '/members/p2', caller=MEMBER)) == NOT_SEEN
    assert api.get('/v2/images?member_status=all', caller=MEMBER).json['images'] == []
    set_visibility(api, path, 'shared')
    assert members_of(api, path) == ['p2', 'p3']
    assert len(api.get('/v2/images', caller=MEMBER).json['images']) == 1


@pytest.mark.parametrize('visibility', ['public', 'community', 'private'])
@pytest.mark.parametrize('caller', [OWNER, ADMIN])
def test_only_shared_images_have_members(api: Api, path: str, visibility: str, caller: str) -> None:
    set_visibility(api, path, visibility)
    for method, where, body in (
        ('GET', '', None),
        ('POST', '', {'member': 'p5'}),
        ('PUT', '/p2', {'status': 'accepted'}),
        ('DELETE', '/p2', None),
    ):
        answer = api.call(method, path + '/members' + where, body, caller=caller)
        assert error(answer) == FORBIDDEN
        assert visibility in answer.json['error']['message']
    assert error(api.get(path + '/members/p2', caller=caller)) == NO_MEMBER
    set_visibility(api, path, 'shared')
    assert members_of(api, path) == ['p2', 'p3']
    assert api.get(path + '/members/p2', caller=OWNER).json['status'] == 'pending'


def test_a_project_is_a_member_once(api: Api, path: str) -> None:
    answer = api.call('POST', path + '/members', {'member': 'p2'}, caller=OWNER)
    assert error(answer) == (409, 'member_exists')
    assert members_of(api, path) == ['p2', 'p3']


@pytest.mark.parametrize(
    'body',
    [
        *({'member': name} for name in ('', None, 5, ['p'], 'x' * 256, '\U0001f600', 'a\0')),
        {},
        {'member_id': 'p5'},
        [],
        'p5',
    ],
)
def test_a_member_is_a_name(api: Api, path: str, body: Any) -> None:
    answer = api.call('POST', path + '/members', body, caller=OWNER)
    assert error(answer) == (400, 'invalid_request')
    assert 'member' in answer.json['error']['message'] or body in ([], 'p5')
    assert members_of(api, path) == ['p2', 'p3']


@pytest.mark.parametrize('body', [{}, {'status': 'x'}, {'status': None}, {'status': []}, [], 'x'])
def test_an_answer_is_one_of_three_words(api: Api, path: str, body: Any) -> None:
    answer = api.call('PUT', path + '/members/p2', body, caller=MEMBER)
    assert error(answer) == (400, 'invalid_request')
    assert api.get(path + '/members/p2', caller=MEMBER).json['status'] == 'pending'


def test_an_image_has_no_more_members_than_its_quota(make_api: Callable[..., Api]) -> None:
    api = make_api('[DEFAULT]\nimage_member_quota = 2\n')
    path = api.create(caller=OWNER)
    failures = []

    def add(project: str) -> None:
        answer = api.call('POST', path + '/members', {'member': project}, caller=OWNER)
        if answer.status_int != 200:
            failures.append(error(answer))

    threads = [threading.Thread(target=add, args=(f'q{number}',)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [(413, 'limit_exceeded')] * 3
    kept = members_of(api, path)
    assert len(kept) == 2
    assert api.call('DELETE', f'{path}/members/{kept[0]}', caller=OWNER).status_int == 204
    share(api, path, 'p2')


def test_a_quota_below_zero_is_none(make_api: Callable[..., Api]) -> None:
    api = make_api('[DEFAULT]\nimage_member_quota = -1\n')
    path = api.create(caller=OWNER)
    share(api, path, *(f'q{number}' for number in range(130)))
    assert len(members_of(api, path)) == 130


def test_members_go_with_their_image(api: Api, path: str) -> None:
    assert api.call('DELETE', path, caller=OWNER).status_int == 204
    with api.services.db.reader() as session:
        assert members.list_all(session, path.rpartition('/')[2]) == []
    assert error(api.get(path + '/members', caller=OWNER)) == NOT_SEEN


def test_a_rule_may_let_members_leave_and_not_send_others_away(
    make_api: Callable[..., Api], tmp_path: Path
) -> None:
    (tmp_path / 'policy.yaml').write_text('"delete_member": "project_id:%(member_id)s"')
    api = make_api()
    path = api.create(caller=OWNER)
    share(api, path, 'p2', 'p3')
    assert error(api.call('DELETE', path + '/members/p3', caller=MEMBER)) == NO_MEMBER
    assert api.call('DELETE', path + '/members/p2', caller=MEMBER).status_int == 204
    assert members_of(api, path) == ['p3']


def test_a_rule_may_know_members_of_images(make_api: Callable[..., Api], tmp_path: Path) -> None:
    (tmp_path / 'policy.yaml').write_text(
        '"get_image": "project_id:%(project_id)s or project_id:%(member_id)s"\n"get_member": "!"\n'
    )
    api = make_api()
    path = api.create(caller=OWNER)
    share(api, path, 'p2')
    assert api.get(path, caller=MEMBER).status_int == 200
    assert len(api.get('/v2/images?member_status=all', caller=MEMBER).json['images']) == 1
    assert api.get(path + '/members', caller=MEMBER).json['members'] == []
    assert error(api.get(path + '/members/p2', caller=MEMBER)) == NO_MEMBER


def test_without_a_project_nothing_is_shared(api: Api, path: str) -> None:
    assert error(api.get(path, caller=':reader')) == NOT_SEEN
    assert api.get('/v2/images?member_status=all', caller=':reader').json['images'] == []


def test_the_schemas_are_those_of_the_answers(api: Api, path: str) -> None:
    schema = api.get('/v2/schemas/member').json
    assert (schema['name'], set(schema['properties'])) == (
        'member',
        set(api.get(path + '/members/p2').json),
    )
    assert api.get('/v2/schemas/members').json['properties']['members']['items'] == schema


def test_a_visibility_needs_its_rule(api: Api, path: str) -> None:
    for visibility, expected in (('public', 403), ('community', 200), ('private', 200)):
        change = [{'op': 'replace', 'path': '/visibility', 'value': visibility}]
        answer = api.call('PATCH', path, change, {'Content-Type': PATCH}, OWNER)
        assert answer.status_int == expected
    assert (
        error(api.call('POST', '/v2/images', {'visibility': 'public'}, caller=OWNER)) == FORBIDDEN
    )
