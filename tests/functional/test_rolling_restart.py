# SPDX-License-Identifier: Apache-2.0
"""Stopping in order: nothing new is begun, what runs may end, what cannot end is handed over."""

import contextlib
import hashlib
import itertools
import os
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests import services
from tests.functional.hosts import hosts
from tests.functional.processes import wait_for
from tests.functional.sources import source

DATA = os.urandom(300_000)
SHA512 = hashlib.sha512(DATA).hexdigest()


@pytest.fixture(params=['postgresql'])
def url(request, tmp_path):
    with services.database(request.param, str(tmp_path)) as found:
        yield found


@pytest.fixture
def web():
    with source(DATA) as found:
        yield found


def ends(process, seconds):
    wait_for(lambda: process.popen.poll() is not None, seconds, 'the end of a process')
    return process.popen.returncode


def start_download(api, web, path='/drip'):
    image_id = api.create()
    assert (
        api.post_import(image_id, 'web-download', method={'uri': web.url + path}).status_code == 202
    )
    wait_for(
        lambda: (api.last_task(image_id)['progress'] or {}).get('bytes_done'), 20, 'some bytes'
    )
    return image_id


@pytest.mark.parametrize('api_only', ['true', 'false'])
def test_a_stopping_api_takes_no_connections_and_finishes_its_uploads(url, tmp_path, api_only):
    with hosts(tmp_path, url, 'A', f'[DEFAULT]\napi_only = {api_only}\n', start=False) as one:
        (a,) = one.all
        a.start_api()
        images = [a.create(), a.create()]
        go_on = threading.Event()

        def slowly():
            yield DATA[:100_000]
            go_on.wait(20)
            yield DATA[100_000:]

        with ThreadPoolExecutor(2) as pool:
            puts = [
                pool.submit(a.put, image_id, slowly(), to)
                for image_id, to in zip(images, ('stage', 'file'), strict=True)
            ]
            statuses = ['uploading', 'saving']
            wait_for(lambda: [a.image(i)['status'] for i in images] == statuses, 10, 'two uploads')
            api = a.api
            api.popen.terminate()
            wait_for(a.refuses, 1, 'a closed port')
            assert not any(put.done() for put in puts) and api.popen.poll() is None
            go_on.set()
            assert [put.result().status_code for put in puts] == [204, 204]
        assert ends(api, 5) == 0
        a.start_api()
        assert [a.image(i)['status'] for i in images] == ['uploading', 'active']
        assert a.post_import(images[0]).status_code == 202
        if api_only == 'true':
            a.start_conductor()
        assert a.wait(images[0])['status'] == 'success'
        assert [a.sha512(i) for i in images] == [SHA512] * 2
        one.assert_only(*images)


def test_an_upload_that_outlives_the_graceful_timeout_is_given_up_whole(url, tmp_path):
    extra = '[api]\ngraceful_shutdown_timeout = 1\n'
    with hosts(tmp_path, url, 'A', extra) as one:
        (a,) = one.all
        images = [a.create(), a.create()]
        go_on = threading.Event()

        def slowly():
            yield DATA[:100_000]
            go_on.wait(30)

        with ThreadPoolExecutor(2) as pool:
            puts = [
                pool.submit(a.put, image_id, slowly(), to)
                for image_id, to in zip(images, ('stage', 'file'), strict=True)
            ]
            statuses = ['uploading', 'saving']
            wait_for(lambda: [a.image(i)['status'] for i in images] == statuses, 10, 'two uploads')
            api = a.api
            api.popen.terminate()
            assert ends(api, 5) == 0
            a.start_api()
            assert [a.image(i)['status'] for i in images] == ['queued', 'queued']
            one.assert_only()
            go_on.set()
            for put in puts:
                with pytest.raises(requests.RequestException):
                    put.result().raise_for_status()


def test_a_stopping_conductor_finishes_what_it_runs_and_begins_nothing(url, tmp_path, web):
    with hosts(tmp_path, url, start=False) as both:
        a, b = both.all
        a.start_api()
        a.start_conductor()
        first = start_download(a, web)
        conductor = a.conductor
        conductor.popen.terminate()
        wait_for(lambda: 'No import is begun any more' in a.log(), 30, 'the stop')
        second = a.create()
        a.post_import(second, 'web-download', method={'uri': web.url + '/disk'})
        time.sleep(1)
        assert a.last_task(second)['status'] == 'pending'
        b.start_conductor()
        assert a.wait(second)['status'] == 'success'
        assert conductor.popen.poll() is None and a.last_task(first)['status'] == 'processing'
        web.gate.set()
        assert a.wait(first)['status'] == 'success'
        assert ends(conductor, 5) == 0
        assert second not in a.log() and first not in b.log()
        assert [a.sha512(i) for i in (first, second)] == [SHA512] * 2
        both.assert_only(first, second)


def test_what_a_stopping_conductor_cannot_finish_goes_on_elsewhere_at_once(url, tmp_path, web):
    """Long before the lease runs out, and as part of the same attempt."""
    extra = (
        '[api]\ngraceful_shutdown_timeout = 1\n'
        '[conductor]\nlease = 60\n[import]\nmax_attempts = 1\n'
    )
    with hosts(tmp_path, url, extra=extra, start=False) as both:
        a, b = both.all
        a.start_api()
        a.start_conductor()
        images = [start_download(a, web) for _ in range(3)]
        b.start_conductor()
        conductor = a.conductor
        conductor.popen.terminate()
        assert ends(conductor, 5) == 0
        wait_for(lambda: all(i in b.log() for i in images), 3, 'their resumption')
        web.gate.set()
        for image_id in images:
            task = a.wait(image_id)
            assert task['status'] == 'success', task
            assert a.sha512(image_id) == SHA512
        both.assert_only(*images)


def test_restarting_everything_in_turn_loses_nothing(url, tmp_path):
    """At least 200 imports of 1 MiB by both methods, while all processes are restarted twice."""
    block = os.urandom(1 << 20)
    with source(block) as web, hosts(tmp_path, url) as both:
        numbers = itertools.count()
        over = threading.Event()

        def patiently(call, *args, **options):
            """Call again when no host was there or one went away, as clients do."""
            for _ in range(100):
                with contextlib.suppress(requests.ConnectionError):
                    answer = call(*args, **options)
                    if answer.status_code != 503:
                        return answer
                time.sleep(0.1)
            raise AssertionError('tried in vain')

        def import_one(number):
            image_id = str(uuid.uuid4())
            body = {'id': image_id, 'disk_format': 'raw', 'container_format': 'bare'}
            # an answer that got lost makes the repeated request a conflict
            answer = patiently(both.request, 'POST', '/v2/images', json=body)
            assert answer.status_code in (201, 409), answer.text
            if number % 2:
                method = {'uri': web.url + '/disk'}
                answer = patiently(both.post_import, image_id, 'web-download', method=method)
            else:
                answer = patiently(both.put, image_id, block)
                assert answer.status_code in (204, 409), answer.text
                answer = patiently(both.post_import, image_id)
            assert answer.status_code in (202, 409), answer.text
            for _ in range(120):
                image = patiently(both.request, 'GET', f'/v2/images/{image_id}').json()
                if image['status'] == 'active':
                    return image_id
                assert image['status'] in ('uploading', 'importing'), image
                time.sleep(0.3)
            raise AssertionError(both.last_task(image_id))

        def import_many(_):
            made = []
            while (number := next(numbers)) < 200 or not over.is_set():
                made.append(import_one(number))
                time.sleep(0.3 if number > 200 else 0)
            return made

        def restart():
            try:
                for host in both.all * 2:
                    for name in ('api', 'conductor'):
                        assert getattr(host, name).stop() == 0
                        getattr(host, f'start_{name}')()
            finally:
                over.set()

        with ThreadPoolExecutor(9) as pool:
            restarts = pool.submit(restart)
            images = [image_id for made in pool.map(import_many, range(8)) for image_id in made]
            restarts.result()
        expected = hashlib.sha512(block).hexdigest()
        for image_id in images:
            image = both.image(image_id)
            assert (image['status'], image['os_hash_value']) == ('active', expected)
        for image_id in random.sample(images, 20):
            assert both.sha512(image_id) == expected
        both.assert_only(*images)
