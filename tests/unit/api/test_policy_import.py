# SPDX-License-Identifier: Apache-2.0
"""The policy file ``etc/policy-import.yaml``: images come in by import alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from glance_lite import deploy
from glance_lite.middleware.identity import identify_by_keystone

from .conftest import FORMATS, OCTETS, Api

FILE = Path(__file__).resolve().parents[3] / 'etc/policy-import.yaml'


def user(project: str = 'p1', roles: str = 'member,reader', service: str = '') -> dict[str, str]:
    """Return the headers that the token check leaves of a user, perhaps with a service token."""
    headers = {'X-Identity-Status': 'Confirmed', 'X-Project-Id': project, 'X-Roles': roles}
    return headers | ({'X-Service-Roles': service} if service else {})


@pytest.fixture
def api(make_api: Callable[..., Api], tmp_path: Path) -> Api:
    shutil.copy(FILE, tmp_path / 'policy.yaml')
    api = make_api()
    api.app = deploy.loadapp(api.services.conf, api.services, identify_by_keystone(False))
    return api


def create(api: Api) -> str:
    answer = api.call('POST', '/v2/images', FORMATS, user())
    return f"/v2/images/{answer.json['id']}"


@pytest.mark.parametrize(
    ('headers', 'status'),
    [
        (user(), 403),
        (user(service='reader'), 403),
        (user(service='Service'), 204),
        (user('p2', service='service'), 404),
        (user('p9', 'admin,member,reader'), 204),
    ],
    ids=['member', 'member with another service', 'member by a service', 'stranger', 'admin'],
)
def test_only_administrators_and_services_upload(
    api: Api, headers: dict[str, str], status: int
) -> None:
    path = create(api) + '/file'
    answer = api.call('PUT', path, b'data', {'Content-Type': OCTETS, **headers})
    assert answer.status_int == status, answer.body


def test_members_import_and_read_how_it_goes(api: Api) -> None:
    path = create(api)
    assert api.call('PUT', path + '/stage', b'data', user()).status_int == 204
    body = {'method': {'name': 'glance-direct'}}
    assert api.call('POST', path + '/import', body, user()).status_int == 202
    (task,) = api.get(path + '/tasks', headers=user()).json['tasks']
    assert task['status'] in ('pending', 'processing')
