# SPDX-License-Identifier: Apache-2.0
"""Registering where data lies: the request, what conductors make of it, who may see it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from glance_lite.db import models
from glance_lite.domain import image as domain
from tests.origin import PERMIT, Origin

from .conftest import FORMATS, Api, error
from .test_copy_image import run
from .test_locations import store_path

DATA = random.Random(3).randbytes(300_000)
STORES = 'fast:file, cold:file, web:http'
MEMBER, SERVICE, READER = 'p1:member,reader', 'services:service', 'p1:reader'


@pytest.fixture(scope='module')
def served() -> Iterator[Origin]:
    with Origin.serving() as origin:
        yield origin


@pytest.fixture
def origin(served: Origin) -> Origin:
    served.manner = 'ranges'
    served.asked.clear()
    return served


@pytest.fixture
def make(make_api: Callable[..., Api]) -> Callable[..., Api]:
    return lambda extra='', stores=STORES: make_api(PERMIT + extra, stores=stores)


@pytest.fixture
def api(make: Callable[..., Api]) -> Api:
    return make()


def sha(data: bytes, algo: str = 'sha256') -> dict[str, str]:
    return {'os_hash_algo': algo, 'os_hash_value': hashlib.new(algo, data).hexdigest()}


def register(api: Api, url: str, data: Any = None, caller: str | None = None, **more: Any) -> Any:
    path = api.create(**{**FORMATS, **more})
    body = {'url': url} if data is None else {'url': url, 'validation_data': data}
    return path, api.call('POST', path + '/locations', body, caller=caller)


def registered(api: Api, url: str, data: Any = None, **more: Any) -> tuple[str, Any, Any]:
    """Return path, image and task after a conductor looked at the location."""
    path, answer = register(api, url, data, **more)
    assert answer.status_int == 202, answer.body
    assert run(api) == 1
    [task] = api.get(path + '/tasks').json['tasks']
    return path, api.get(path).json, task


def check_failed(api: Api, path: str, task: Any, code: str) -> None:
    """See that an image waits for data as if nothing had been registered."""
    image = api.get(path).json
    assert (task['status'], task['error']['code']) == ('failure', code), task
    assert (image['status'], image['size'], image['os_hash_value']) == ('queued', None, None)
    assert image['os_glance_import_error'].startswith(code)
    assert 'os_glance_import_task' not in image and 'stores' not in image
    assert api.get(path + '/locations').json == []


def test_the_data_becomes_the_images_where_it_is(api: Api, origin: Origin) -> None:
    url = origin.publish(DATA)
    path, answer = register(api, url)
    task_id = answer.headers['OpenStack-image-import-task-id']
    assert (answer.status_int, answer.body) == (202, b'')
    assert answer.headers['Location'] == f'http://localhost{path}/tasks'
    assert api.get(path).json['status'] == 'importing'
    assert run(api) == 1
    image = api.get(path).json
    assert (image['status'], image['size'], image['stores']) == ('active', len(DATA), 'web')
    assert image['checksum'] == hashlib.md5(DATA).hexdigest()
    assert image['os_hash_value'] == hashlib.sha512(DATA).hexdigest()
    assert not [name for name in image if name.startswith('os_glance')]
    [task] = api.get(path + '/tasks').json['tasks']
    assert (task['id'], task['type'], task['status']) == (task_id, 'location_import', 'success')
    assert task['input'] == {'image_id': image['id'], 'loc_url': url, 'validation_data': {}}
    phases = [phase['phase'] for phase in task['progress']['phases']]
    assert phases == ['confirm-claim', 'find-location', 'activate-located', 'hash-active']
    assert api.get(path + '/locations').json == [{'url': url, 'metadata': {'store': 'web'}}]
    assert api.get(path + '/file').body == DATA
    assert api.stored_files() == [] and api.staged_files() == []


def test_a_range_of_it_is_fetched_as_a_range(api: Api, origin: Origin) -> None:
    path, _, _ = registered(api, origin.publish(DATA))
    origin.asked.clear()
    answer = api.get(path + '/file', headers={'Range': 'bytes=1000-1999'})
    assert (answer.status_int, answer.body) == (206, DATA[1000:2000])
    assert origin.asked == ['bytes=1000-1999']


def test_data_that_changed_its_size_is_not_given_out(api: Api, origin: Origin) -> None:
    url = origin.publish(DATA)
    path, _, _ = registered(api, url)
    origin.published[url.removeprefix(origin.url)] = DATA + b'more'
    for headers in ({}, {'Range': 'bytes=0-99'}):
        assert error(api.get(path + '/file', headers=headers)) == (503, 'store_failed')


@pytest.mark.parametrize('algo', ['md5', 'sha1', 'sha256', 'sha512'])
def test_a_hash_is_compared_before_the_image_is_active(api: Api, origin: Origin, algo: str) -> None:
    _, image, task = registered(api, origin.publish(DATA), sha(DATA, algo))
    phases = [phase['phase'] for phase in task['progress']['phases']]
    assert phases[2:4] == ['hash-location', 'activate-located']
    assert image['status'] == 'active' and image['os_hash_algo'] == 'sha512'
    assert image['os_hash_value'] == hashlib.sha512(DATA).hexdigest()


def test_another_hash_leaves_no_location(api: Api, origin: Origin) -> None:
    path, _, task = registered(api, origin.publish(DATA), sha(DATA + b'x'))
    check_failed(api, path, task, 'checksum_mismatch')
    assert api.call('POST', path + '/locations', {'url': origin.publish(DATA)}).status_int == 202


def test_the_same_is_so_of_content_that_is_not_as_declared(api: Api, origin: Origin) -> None:
    path, _, task = registered(api, origin.publish(DATA), sha(DATA), disk_format='qcow2')
    check_failed(api, path, task, 'format_mismatch')


def test_without_a_hash_such_content_is_taken_out_of_service(api: Api, origin: Origin) -> None:
    path, image, task = registered(api, origin.publish(DATA), disk_format='qcow2')
    assert (image['status'], task['status']) == ('deactivated', 'success')
    assert image['os_glance_import_error'].startswith('format_mismatch: ')
    assert api.get(path + '/file', caller=MEMBER).status_int == 403


def test_a_source_that_is_not_there(api: Api, origin: Origin) -> None:
    path, _, task = registered(api, origin.url + '/none')
    check_failed(api, path, task, 'source_http_error')
    assert 'secret' not in json.dumps(task)


def test_data_above_the_limit(make: Callable[..., Api], origin: Origin) -> None:
    api = make('[DEFAULT]\nimage_size_cap = 1000\n')
    for data in (None, sha(DATA)):
        path, _, task = registered(api, origin.publish(DATA), data)
        check_failed(api, path, task, 'too_large')


@pytest.mark.parametrize('given', [None, sha(b'anything')])
def test_nobody_looks_where_no_secure_hash_is_wanted(
    make: Callable[..., Api], origin: Origin, given: Any
) -> None:
    api = make('[DEFAULT]\ndo_secure_hash = False\n')
    _, image, _ = registered(api, origin.publish(DATA), given)
    assert image['status'] == 'active' and image['checksum'] is None
    expected = given or {'os_hash_algo': None, 'os_hash_value': None}
    assert {name: image[name] for name in expected} == expected
    assert len(origin.asked) == 1  # how large it is


def test_the_image_is_active_without_a_hash_where_that_failed(api: Api, origin: Origin) -> None:
    web: Any = api.services.stores.get('web')
    url = origin.publish(DATA)
    open_reader, calls = web.open_reader, []

    def open_once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            origin.published.clear()
        return open_reader(*args)

    web.open_reader = open_once
    _, image, task = registered(api, url)
    assert (image['status'], image['os_hash_value'], task['status']) == ('active', None, 'success')


BAD_BODIES = [
    None, [], 'x', {}, {'url': None}, {'url': 5}, {'url': ''}, {'url': 'x' * 9000},
    {'url': 'http://203.0.113.1/\u0000'},
    {'url': 'http://203.0.113.1/x', 'more': 1},
    {'url': 'http://203.0.113.1/x', 'validation_data': 'x'},
    {'url': 'http://203.0.113.1/x', 'validation_data': {'os_hash_algo': 'sha256'}},
    {'url': 'http://203.0.113.1/x', 'validation_data': {'os_hash_value': 'ab' * 32}},
    {'url': 'http://203.0.113.1/x', 'validation_data': sha(b'', 'sha384')},
    {'url': 'http://203.0.113.1/x',
     'validation_data': {'os_hash_algo': 'sha256', 'os_hash_value': 'ab'}},
    {'url': 'http://203.0.113.1/x',
     'validation_data': {'os_hash_algo': 'sha256', 'os_hash_value': 'zz' * 32}},
]  # fmt: skip


def test_a_body_that_is_wrong(api: Api) -> None:
    path = api.create(**FORMATS)
    for body in BAD_BODIES:
        answer = api.call('POST', path + '/locations', b'null' if body is None else body)
        assert error(answer) == (400, 'invalid_request'), body
    assert api.get(path).json['status'] == 'queued' and api.get(path + '/tasks').json['tasks'] == []


def test_f_08_only_schemes_of_a_list_are_taken(api: Api) -> None:
    """Not a list of those that are refused, and however the scheme is written."""
    path = api.create(**FORMATS)
    urls = ['file:///etc/passwd', 'FILE:///etc/passwd', 'filesystem:///etc/passwd',
            'swift+config://x/y', 'swift+https://u:p@h/c/o', 'rbd://a/b/c/d', 'cinder://x',
            'memory://fast/x', 'ftp://203.0.113.1/x', ' file:///etc/passwd', '//etc/passwd',
            'etc/passwd', 'data:,x']  # fmt: skip
    for url in urls:
        answer = api.call('POST', path + '/locations', {'url': url}, caller=SERVICE)
        assert error(answer) == (400, 'invalid_request'), url
        answer = api.call('POST', path + '/locations', {'url': url}, caller=MEMBER)
        assert error(answer) == (403, 'forbidden'), url
    assert api.get(path + '/tasks').json['tasks'] == []


def test_f_19_the_filter_of_downloads_judges_locations(api: Api) -> None:
    path = api.create(**FORMATS)
    urls = ['http://10.0.0.1/x', 'http://169.254.169.254/x', 'https://[::1]/x', 'http:///x',
            'http://2130706433/', 'HTTP://0x7f.1/', 'http://10.0.0.1#@203.0.113.1/']  # fmt: skip
    for url in urls:
        answer = api.call('POST', path + '/locations', {'url': url})
        assert error(answer) == (400, 'filtered_uri'), url
    answer = api.call('POST', path + '/locations', {'url': 'http://me:secret@127.0.0.1/x'})
    assert error(answer) == (400, 'invalid_request') and b'secret' not in answer.body
    assert api.get(path + '/tasks').json['tasks'] == []


def test_without_a_store_for_urls(make: Callable[..., Api]) -> None:
    api = make(stores='fast:file, cold:file')
    for caller, expected in ((MEMBER, 403), (SERVICE, 400)):
        _, answer = register(api, 'http://127.0.0.1/x', caller=caller)
        assert answer.status_int == expected


def test_what_the_image_does_not_allow(api: Api, origin: Origin) -> None:
    body = {'url': origin.publish(DATA)}
    for path in (api.create(), api.stage(), api.upload()):
        assert error(api.call('POST', path + '/locations', body)) == (409, 'status_conflict')
    path = api.create(**FORMATS)
    assert api.call('POST', path + '/locations', body).status_int == 202
    assert error(api.call('POST', path + '/locations', body)) == (409, 'import_running')
    assert error(api.call('PUT', path + '/file', b'x')) == (409, 'status_conflict')


def test_who_sees_locations(api: Api, origin: Origin) -> None:
    """F-21: where data lies is for services and administrators."""
    url = origin.publish(DATA)
    path, _, _ = registered(api, url, visibility='private')
    assert api.get(path + '/locations', caller=SERVICE).json[0]['url'] == url
    assert error(api.get(path + '/locations', caller=MEMBER)) == (403, 'forbidden')
    assert error(api.get(path + '/locations', caller='p2:member,reader')) == (
        404,
        'image_not_found',
    )
    missing = '/v2/images/0b0e4e58-1ba9-4f5a-8a8e-7a6e9e5f7a01/locations'
    assert error(api.get(missing, caller=SERVICE)) == (404, 'image_not_found')
    assert error(api.get('/v2/images/x/locations', caller=SERVICE)) == (404, 'image_not_found')
    assert url not in api.get(path, caller=MEMBER).text
    assert url not in api.get('/v2/images', caller=MEMBER).text


def test_f_13_a_registered_image_keeps_its_last_location(api: Api, origin: Origin) -> None:
    path, _, _ = registered(api, origin.publish(DATA))
    assert error(api.call('DELETE', store_path(path, 'web'))) == (403, 'forbidden')
    copy = {'method': {'name': 'copy-image'}, 'all_stores': True}
    assert api.call('POST', path + '/import', copy).status_int == 202
    assert run(api) == 1
    assert api.get(path).json['stores'] == 'web,fast,cold'
    assert api.call('DELETE', store_path(path, 'web')).status_int == 204
    assert api.get(path + '/file').body == DATA


def test_deleting_the_image_ends_its_task_and_leaves_the_data(api: Api, origin: Origin) -> None:
    url = origin.publish(DATA)
    path, _ = register(api, url)
    assert api.call('DELETE', path).status_int == 204
    assert run(api) == 1
    done, _, _ = registered(api, url)
    assert api.call('DELETE', done).status_int == 204
    with api.services.db.reader() as session:
        for name in ('removals', 'jobs', 'flowdetails', 'image_locations'):
            assert session.exec_driver_sql(f'SELECT count(*) FROM {name}').scalar() == 0
    assert origin.published


class Died(BaseException):
    """The conductor is gone in this moment."""


@pytest.mark.parametrize('given', [None, sha(DATA)])
@pytest.mark.parametrize('call', [1, 2])
def test_a_location_survives_its_conductor(api: Api, origin: Origin, given: Any, call: int) -> None:
    web: Any = api.services.stores.get('web')
    open_reader, calls = web.open_reader, []

    def die(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == call:
            raise Died
        return open_reader(*args)

    web.open_reader = die
    path, _ = register(api, origin.publish(DATA), given)
    with pytest.raises(Died):
        run(api)
    with api.services.db.writer() as session:
        session.execute(models.jobs.update().values(expires_ms=1))
    assert api.get(path).json['status'] == ('active' if call == 2 and not given else 'importing')
    assert run(api) == 1
    image = api.get(path).json
    assert (image['status'], image['os_hash_algo']) == ('active', 'sha512')
    assert image['os_hash_value'] == hashlib.sha512(DATA).hexdigest()
    assert domain.IMPORT_TASK not in image and len(api.get(path + '/locations').json) == 1
