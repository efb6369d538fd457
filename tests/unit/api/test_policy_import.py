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


def test_one_option_lets_images_in_by_import_alone(make_api: Callable[..., Api]) -> None:
    api = make_api('[import]\nrequire_import = true\n')
    path = api.create(**FORMATS)
    for caller in (None, 'p9:admin,member,reader'):
        answer = api.call('PUT', path + '/file', b'data', caller=caller)
        assert answer.status_int == 403 and 'by an import alone' in answer.text
    where = {'url': 'http://127.0.0.1/disk'}
    answer = api.call('POST', path + '/locations', where, caller='services:service')
    assert answer.status_int == 403 and 'by an import alone' in answer.text
    assert api.get(path).json['status'] == 'queued' and not api.stored_files()
    assert api.call('PUT', path + '/stage', b'data').status_int == 204
    assert (
        api.call('POST', path + '/import', {'method': {'name': 'glance-direct'}}).status_int == 202
    )
    deploy.load_conductor(api.services.conf, api.services).run_pending()
    assert api.get(path).json['status'] == 'active'


def test_an_image_that_came_past_the_plugins_is_marked(make_api: Callable[..., Api]) -> None:
    assert 'os_glance_unchecked' not in make_api().get(make_api().upload()).json
    api = make_api('[image_import_opts]\nimage_import_plugins = no_op\n')
    path = api.upload()
    assert api.get(path).json['os_glance_unchecked'] == 'upload'
    change = [{'op': 'remove', 'path': '/os_glance_unchecked'}]
    assert api.call('PATCH', path, change).status_int == 403
    found = api.get('/v2/images?os_glance_unchecked=upload').json['images']
    assert [image['id'] for image in found] == [path.rpartition('/')[2]]
    path = api.stage()
    api.call('POST', path + '/import', {'method': {'name': 'glance-direct'}})
    deploy.load_conductor(api.services.conf, api.services).run_pending()
    image = api.get(path).json
    assert image['status'] == 'active' and 'os_glance_unchecked' not in image
