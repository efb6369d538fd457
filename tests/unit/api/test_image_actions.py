# SPDX-License-Identifier: Apache-2.0
"""Deactivated and active again: who may, from which status, and what it does to the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from glance_lite.db import images
from glance_lite.domain import image as domain

from .conftest import Api, error

MEMBER = 'p2:member,reader'
ACTIONS = ['deactivate', 'reactivate']


def act(api: Api, path: str, action: str, caller: str | None = None, body: object = None):
    return api.call('POST', f'{path}/actions/{action}', body, caller=caller)


def set_status(api: Api, path: str, status: str) -> None:
    with api.services.db.writer() as session:
        images.update(session, path.rpartition('/')[2], status=status)


def test_a_deactivated_image_keeps_its_data_from_users_until_it_is_active_again(api: Api) -> None:
    path = api.upload(b'data', visibility='public', owner='p2')
    before = api.get(path).json
    for _ in range(2):
        answer = act(api, path, 'deactivate', MEMBER)
        assert (answer.status_int, answer.body) == (204, b'')
        shown = api.get(path).json
        assert shown == {**before, 'status': 'deactivated', 'updated_at': shown['updated_at']}
    for caller in (MEMBER, 'p3:member,reader'):
        assert error(api.get(path + '/file', caller=caller)) == (403, 'forbidden')
    assert api.get(path + '/file').body == b'data'
    for _ in range(2):
        assert act(api, path, 'reactivate', MEMBER).status_int == 204
        assert api.get(path).json['status'] == 'active'
    assert api.get(path + '/file', caller='p3:member,reader').body == b'data'


@pytest.mark.parametrize('action', ACTIONS)
@pytest.mark.parametrize(
    'status', [each for each in domain.TRANSITIONS if each not in ('active', 'deactivated')]
)
def test_only_an_image_with_data_is_moved(api: Api, action: str, status: str) -> None:
    path = api.create()
    set_status(api, path, status)
    answer = act(api, path, action)
    assert error(answer) == (403, 'forbidden')
    assert f'in status {status}' in answer.json['error']['message']
    assert api.get(path).json['status'] == status


@pytest.mark.parametrize('action', ACTIONS)
@pytest.mark.parametrize(
    ('caller', 'visibility', 'expected'),
    [
        ('p2:reader', 'private', (403, 'forbidden')),
        ('p3:member,reader', 'private', (404, 'image_not_found')),
        ('p3:member,reader', 'community', (403, 'forbidden')),
    ],
)
def test_a_stranger_moves_nothing(
    api: Api, action: str, caller: str, visibility: str, expected: tuple[int, str]
) -> None:
    path = api.create(caller=MEMBER, visibility=visibility)
    status = {'deactivate': 'active', 'reactivate': 'deactivated'}[action]
    set_status(api, path, status)
    assert error(act(api, path, action, caller)) == expected
    assert api.get(path).json['status'] == status


def test_each_has_a_rule_of_its_own(make_api: Callable[..., Api], tmp_path: Path) -> None:
    (tmp_path / 'policy.yaml').write_text('"reactivate": "rule:context_is_admin"')
    api = make_api()
    path = api.upload(owner='p2')
    assert act(api, path, 'deactivate', MEMBER).status_int == 204
    assert error(act(api, path, 'reactivate', MEMBER)) == (403, 'forbidden')
    assert act(api, path, 'reactivate').status_int == 204


@pytest.mark.parametrize('action', ACTIONS)
def test_a_body_is_refused(api: Api, action: str) -> None:
    path = api.upload()
    assert error(act(api, path, action, body={})) == (400, 'invalid_request')
    assert api.get(path).json['status'] == 'active'


@pytest.mark.parametrize('status', ['active', 'deactivated'])
def test_no_data_is_taken_for_an_image_that_has_some(api: Api, status: str) -> None:
    path = api.upload(b'data')
    set_status(api, path, status)
    for where in ('/file', '/stage'):
        assert error(api.call('PUT', path + where, b'other'))[0] == 409
    body = {'method': {'name': 'web-download', 'uri': 'https://192.0.2.1/x'}}
    assert api.call('POST', path + '/import', body).status_int == 409
    assert (api.get(path).json['status'], api.get(path + '/file').body) == (status, b'data')


def test_a_deactivated_image_is_deleted_with_its_data(api: Api) -> None:
    path = api.upload(owner='p2')
    act(api, path, 'deactivate')
    assert api.call('DELETE', path, caller=MEMBER).status_int == 204
    assert api.stored_files() == []
