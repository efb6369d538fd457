# SPDX-License-Identifier: Apache-2.0
"""``?wait=N``: an answer that waits for a change, under servers of either kind."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import webob

from glance_lite.db import tasks
from glance_lite.domain import task as domain

from .conftest import FORMATS, Api, error

PERMIT = '[import_filtering_opts]\npermitted_networks = 203.0.113.0/24\n'
URI = 'http://203.0.113.9/disk.qcow2'
PATIENCE_SECONDS = 20


@pytest.fixture
def api(make_api: Any) -> Api:
    return make_api(PERMIT)


def new_task(api: Api) -> str:
    given = {'import_from': URI, 'import_from_format': 'raw', 'image_properties': {}}
    answer = api.call('POST', '/v2/tasks', {'type': 'import', 'input': given})
    return answer.headers['Location'].removeprefix('http://localhost')


def new_import(api: Api) -> str:
    image = api.create(**FORMATS)
    body = {'method': {'name': 'web-download', 'uri': URI}}
    assert api.call('POST', image + '/import', body).status_int == 202
    return image + '/tasks'


def change(api: Api, path: str) -> None:
    found = api.get(path).json
    task_id = found['id'] if 'id' in found else found['tasks'][0]['id']
    with api.services.db.writer() as session:
        assert tasks.update(session, task_id, status=domain.PROCESSING)


def status_of(body: bytes) -> str:
    found = json.loads(body)
    return str(found['status'] if 'status' in found else found['tasks'][0]['status'])


def begin(api: Api, path: str, several_threads: bool = True) -> Any:
    """Return the body of an answer as the server gets it."""
    request = webob.Request.blank(path)
    request.environ['wsgi.multithread'] = several_threads
    status, _, body = request.call_application(api.app)
    assert status == '200 OK'
    return body


@pytest.mark.parametrize('make', [new_task, new_import])
def test_a_server_that_parks_reads_the_answer_when_it_is_woken(api: Api, make: Any) -> None:
    path = make(api)
    body, woken = begin(api, path + '?wait=60'), threading.Event()
    body.park(woken.set)
    change(api, path)
    assert woken.wait(PATIENCE_SECONDS)
    assert status_of(b''.join(body)) == 'processing'


def test_the_server_sees_it_through_all_middleware(make_api: Any) -> None:
    api = make_api(
        PERMIT + '[cors]\nallowed_origin = https://page.example.org\n'
        '[oslo_middleware]\nenable_proxy_headers_parsing = true\n'
    )
    assert hasattr(begin(api, new_task(api) + '?wait=60'), 'park')


@pytest.mark.parametrize('make', [new_task, new_import])
def test_any_other_server_lets_one_request_hold_a_thread(api: Api, make: Any) -> None:
    path = make(api)
    held: list[bytes] = []
    first = begin(api, path + '?wait=60')
    thread = threading.Thread(target=lambda: held.extend(first))
    thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not api.services.watch.held_thread.locked():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert status_of(b''.join(begin(api, path + '?wait=60'))) == 'pending'
    assert not held
    change(api, path)
    thread.join(PATIENCE_SECONDS)
    assert status_of(b''.join(held)) == 'processing'
    assert not api.services.watch.held_thread.locked()


def test_a_server_with_one_thread_answers_at_once(api: Api) -> None:
    began = time.monotonic()
    body = begin(api, new_task(api) + '?wait=60', several_threads=False)
    assert status_of(b''.join(body)) == 'pending'
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_the_wait_ends_without_a_change(api: Api) -> None:
    assert status_of(b''.join(begin(api, new_task(api) + '?wait=1'))) == 'pending'


def test_nobody_waits_for_what_is_final(api: Api) -> None:
    path = new_task(api)
    with api.services.db.writer() as session:
        tasks.update(session, path.rpartition('/')[2], status=domain.SUCCESS)
    assert isinstance(begin(api, path + '?wait=60'), list)
    assert begin(api, api.create() + '/tasks?wait=60') == [b'{"tasks": []}']


def test_a_task_that_goes_meanwhile_is_shown_as_it_was(api: Api) -> None:
    path = new_import(api)
    body, woken = begin(api, path + '?wait=60'), threading.Event()
    body.park(woken.set)
    assert api.call('DELETE', path.removesuffix('/tasks')).status_int == 204
    assert status_of(b''.join(body)) == 'pending'
    assert error(api.get(path)) == (404, 'image_not_found')


@pytest.mark.parametrize('wait', ['', 'x', '-1', '1.5', '61', '9' * 30, '%EF%BC%91'])
def test_what_cannot_be_waited_is_refused(api: Api, wait: str) -> None:
    for path in (new_task(api), new_import(api)):
        answer = api.get(f'{path}?wait={wait}')
        assert error(answer) == (400, 'invalid_request')
        assert 'wait must be a whole number of seconds from 0 to 60' in answer.text
