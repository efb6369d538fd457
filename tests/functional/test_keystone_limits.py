# SPDX-License-Identifier: Apache-2.0
"""What a project may have, as registered with a real Keystone and read through oslo.limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.functional.keystone import PASSWORD, Caller, Keystone, keystone
from tests.functional.service import LOCAL_SOURCES, Service, service
from tests.functional.sources import source

MIB = 1 << 20
#: What is registered for every project; below 0: any.
DEFAULTS = {
    'image_size_total': -1,
    'image_stage_total': -1,
    'image_count_total': -1,
    'image_count_uploading': -1,
}
OPTIONS = (
    '[DEFAULT]\nuse_keystone_limits = true\nworkers = 1\n'
    'user_storage_quota = 1\nproject_image_quota = 0\n'  # of no account beside it
)


class Registered:
    """The limits in Keystone, for the project p1."""

    def __init__(self, identity: Keystone) -> None:
        self._identity = identity
        self._service = identity.call(
            'POST', '/services', {'service': {'type': 'image', 'name': 'limited'}}
        )['service']['id']
        endpoint = {
            'service_id': self._service,
            'interface': 'public',
            'region_id': 'here',
            'url': 'http://127.0.0.1:9',
        }
        made = identity.call('POST', '/endpoints', {'endpoint': endpoint})
        self.endpoint: str = made['endpoint']['id']
        limits = [self._of(name, default_limit=most) for name, most in DEFAULTS.items()]
        identity.call('POST', '/registered_limits', {'registered_limits': limits})
        self._project = identity.id_of('project', 'p1')
        self._now: dict[str, tuple[int, str]] = {}
        user, role = identity.id_of('user', 'glance'), identity.id_of('role', 'reader')
        identity.call('PUT', f'/system/users/{user}/roles/{role}')

    def _of(self, name: str, **more: Any) -> dict[str, Any]:
        return {
            'service_id': self._service,
            'region_id': 'here',
            'resource_name': name,
            **more,
        }

    def set(self, **limits: int) -> None:
        """Give the project these limits, and any number of all else."""
        for name, (most, limit_id) in list(self._now.items()):
            if limits.get(name) != most:  # Keystone does not change one to 0, but makes one of 0
                self._identity.call('DELETE', f'/limits/{limit_id}')
                del self._now[name]
        for name, most in limits.items():
            if name not in self._now:
                limit = self._of(name, project_id=self._project, resource_limit=most)
                made = self._identity.call('POST', '/limits', {'limits': [limit]})
                self._now[name] = (most, made['limits'][0]['id'])


@pytest.fixture(scope='module')
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    with keystone(tmp_path_factory.mktemp('keystone')) as found:
        yield found


@pytest.fixture(scope='module')
def registered(identity: Keystone) -> Registered:
    return Registered(identity)


@pytest.fixture(scope='module')
def api(
    identity: Keystone, registered: Registered, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    limits = {
        'auth_url': identity.url,
        'auth_type': 'password',
        'username': 'glance',
        'user_domain_id': 'default',
        'password': PASSWORD,
        'system_scope': 'all',
        'endpoint_id': registered.endpoint,
    }
    lines = ''.join(f'{name} = {value}\n' for name, value in limits.items())
    extra = OPTIONS + identity.authtoken() + '[oslo_limit]\n' + lines + LOCAL_SOURCES
    with service(tmp_path_factory.mktemp('service'), extra=extra) as found:
        yield found


@pytest.fixture
def alice(api: Service, identity: Keystone) -> Iterator[Caller]:
    """Yield a member of p1, which has no image then."""
    who = Caller(api, identity.token('alice'), 'alice', identity.auth_url)
    yield who
    for image in who.request('GET', '/v2/images').json()['images']:
        assert who.request('DELETE', image['self']).status_code == 204


def refused(answer: requests.Response, limit: str) -> None:
    assert answer.status_code == 413, answer.text
    assert f'The limit {limit} of the project' in answer.json()['error']['message']


def test_images_are_counted(registered: Registered, alice: Caller) -> None:
    registered.set(image_count_total=1)
    image_id = alice.create()
    refused(alice.request('POST', '/v2/images', json={}), 'image_count_total')
    registered.set(image_count_total=2)  # holds at once
    alice.create()
    registered.set(image_count_total=0)
    assert alice.request('DELETE', f'/v2/images/{image_id}').status_code == 204
    refused(alice.request('POST', '/v2/images', json={}), 'image_count_total')


def test_data_in_stores_and_in_staging_is_summed(registered: Registered, alice: Caller) -> None:
    registered.set(image_size_total=3, image_stage_total=2)
    assert alice.put(alice.create(), bytes(2 * MIB), 'file').status_code == 204
    upload, staged, copied, fetched = (alice.create() for _ in range(4))
    refused(alice.put(upload, bytes(MIB + 1), 'file'), 'image_size_total')
    refused(alice.put(upload, iter([bytes(MIB), b'x']), 'file'), 'image_size_total')
    assert alice.put(staged, bytes(2 * MIB)).status_code == 204
    refused(alice.put(copied, b'x'), 'image_stage_total')
    refused(alice.post_import(staged), 'image_size_total')
    registered.set(image_size_total=5, image_stage_total=3)
    assert alice.put(copied, bytes(MIB)).status_code == 204
    refused(alice.post_import(staged, all_stores=True), 'image_size_total')
    assert alice.post_import(staged).status_code == 202
    assert alice.wait(staged)['status'] == 'success'
    with source(bytes(MIB + 1)) as origin:
        method = {'uri': origin.url + '/disk'}
        assert alice.post_import(fetched, 'web-download', method).status_code == 202
        task = alice.wait(fetched)
    assert (task['status'], task['error']['code']) == ('failure', 'quota_exceeded')
    assert 'image_size_total' in task['message']
    assert alice.image(fetched)['status'] == 'queued'


def test_what_comes_is_counted(registered: Registered, alice: Caller) -> None:
    registered.set(image_count_uploading=1)
    first, second = alice.create(), alice.create()
    assert alice.put(first, b'x').status_code == 204
    shown = alice.request('GET', '/v2/info/usage').json()['usage']
    assert shown['image_count_uploading'] == {'limit': 1, 'usage': 1}
    assert shown['image_stage_total'] == {'limit': -1, 'usage': 1}
    done = alice.cli('glance', '--os-image-url', alice.url, 'usage')
    assert done.returncode == 0 and 'image_count_uploading' in done.stdout, done.stderr
    refused(alice.put(second, b'x'), 'image_count_uploading')
    refused(alice.put(second, b'x', 'file'), 'image_count_uploading')
    method = {'uri': 'http://127.0.0.1:9/disk'}
    refused(alice.post_import(second, 'web-download', method), 'image_count_uploading')
    assert alice.post_import(first).status_code == 202  # it counts already
    assert alice.wait(first)['status'] == 'success'
    assert alice.put(second, b'x', 'file').status_code == 204


def test_without_keystone_nothing_new_begins_and_what_was_begun_goes_on(
    registered: Registered, identity: Keystone, alice: Caller
) -> None:
    """The token is known from before; so reading goes on."""
    registered.set(image_size_total=10)
    first, second = alice.create(), alice.create()
    assert alice.put(first, b'x').status_code == 204
    identity.stop()
    try:
        for answer in (
            alice.request('POST', '/v2/images', json={}),
            alice.put(second, b'x'),
            alice.put(second, b'x', 'file'),
            alice.post_import(first),
        ):
            assert answer.status_code == 503, answer.text
            assert 'limits' in answer.json()['error']['message']
            assert answer.headers['Retry-After']
            assert str(identity.port) not in answer.text
        assert alice.image(second)['status'] == 'queued'
    finally:
        identity.start()
    assert alice.post_import(first).status_code == 202
    assert alice.wait(first)['status'] == 'success'
