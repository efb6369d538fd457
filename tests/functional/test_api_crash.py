# SPDX-License-Identifier: Apache-2.0
"""The API dies, or its client does, at the worst moments of each request that changes an image.

Data that did not come whole is never imported; the image can soon be used again under its id; what
was removed stays so, and its bytes go.
"""

import contextlib
import hashlib
import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import sqlalchemy as sa

from tests import services
from tests.functional.faulty import arm
from tests.functional.hosts import at_once, hosts
from tests.functional.processes import wait_for
from tests.functional.sources import source

DATA = os.urandom(400_000)
SHA512 = hashlib.sha512(DATA).hexdigest()
#: The janitor's times, made short; what they are is proven in the last test.
HURRY = 'ROUND_SECONDS=0.3,LOST_SECONDS=4,GRACE_SECONDS=1'
TIMEOUT = '[DEFAULT]\nclient_socket_timeout = 2\n'
#: Where the API may be killed.
PLACES = {
    'staged': 'glance_lite.api.handlers.image_data:_record_staged',
    'published': 'glance_lite.api.handlers.image_data:_publish',
    'posted': 'glance_lite.db.jobs:post',
    'announced': 'glance_lite.jobs.announcer:Announcer.announce',
    'deleted': 'glance_lite.db.images:delete',
    'removed': 'glance_lite.api.handlers.images:_delete_data',
}

everywhere = pytest.mark.parametrize('running', services.KINDS, indirect=True)
anywhere = pytest.mark.parametrize('running', ['sqlite'], indirect=True)


@pytest.fixture(scope='module')
def running(request, tmp_path_factory):
    """One host whose API may be killed at each of the places."""
    folder = tmp_path_factory.mktemp(request.param)
    with services.database(request.param, str(folder)) as url:
        with hosts(folder, url, 'A', TIMEOUT, start=False) as found:
            (found.host,) = found.all
            faults = {'FAULTS': ' '.join(PLACES.values()), 'FAULT_FOLDER': str(folder)}
            at_once(
                lambda: found.host.start_conductor(HURRY=HURRY),
                lambda: found.host.start_api(**faults),
            )
            found.engine = sa.create_engine(url, poolclass=sa.NullPool)
            yield found


@pytest.fixture
def one(running):
    """The same; a test leaves nothing there."""
    yield running
    host = running.host
    for image in host.request('GET', '/v2/images').json()['images']:
        assert host.request('DELETE', f'/v2/images/{image["id"]}').status_code == 204
    with running.engine.begin() as connection:  # janitors shall look at once
        connection.execute(sa.text('UPDATE removals SET due_ms = 1'))
    wait_for(lambda: host.staged() == running.files('fast') == [], 15, 'empty folders')


@pytest.fixture
def web():
    with source(DATA) as found:
        yield found


@contextlib.contextmanager
def killed(one, place, when='before'):
    """Have the process of the API killed that the last request of the block comes to."""
    time.sleep(1.1)  # one that dies younger is started again later and later
    armed = arm(one.folder, PLACES[place], when, 'kill')
    with pytest.raises(requests.ConnectionError):
        yield one.host
    assert not armed.exists()
    wait_for(one.host.answers, 10, 'another process')  # the supervisor saw to it


def status(host, image_id):
    return host.image(image_id)['status']


def import_anew(host, image_id):
    assert host.put(image_id, DATA).status_code == 204
    assert host.post_import(image_id).status_code == 202
    check_import(host, image_id)


def check_import(host, image_id):
    task = host.wait(image_id)
    assert task['status'] == 'success', task
    assert (status(host, image_id), host.sha512(image_id)) == ('active', SHA512)


@everywhere
@pytest.mark.parametrize(
    ('to', 'place', 'meanwhile'),
    [
        ('stage', 'staged', 'uploading'),
        ('file', 'published', 'saving'),
    ],
)
def test_whole_data_that_nobody_knows_of_is_no_data(one, to, place, meanwhile):
    with killed(one, place) as host:
        image_id = host.create()
        host.put(image_id, DATA, to)
    assert status(host, image_id) == meanwhile
    assert host.post_import(image_id).status_code == 409
    wait_for(lambda: status(host, image_id) == 'queued', 10, 'status queued')
    wait_for(lambda: host.staged() == one.files('fast') == [], 5, 'empty folders')
    assert host.post_import(image_id).status_code == 409
    import_anew(host, image_id)


@anywhere
@pytest.mark.parametrize(('to', 'place'), [('stage', 'staged'), ('file', 'published')])
def test_data_that_was_recorded_is_there_although_nobody_was_told(one, to, place):
    with killed(one, place, 'after') as host:
        image_id = host.create()
        host.put(image_id, DATA, to)
    if to == 'stage':
        assert status(host, image_id) == 'uploading'
        assert host.post_import(image_id).status_code == 202
        check_import(host, image_id)
    assert (status(host, image_id), host.sha512(image_id)) == ('active', SHA512)


@everywhere
def test_an_import_that_was_not_committed_was_not_requested(one):
    with killed(one, 'posted', 'after') as host:
        image_id = host.create()
        assert host.put(image_id, DATA).status_code == 204
        host.post_import(image_id)
    assert status(host, image_id) == 'uploading'
    assert host.request('GET', f'/v2/images/{image_id}/tasks').json()['tasks'] == []
    assert host.post_import(image_id).status_code == 202
    check_import(host, image_id)


@anywhere
@pytest.mark.parametrize('method', ['glance-direct', 'web-download'])
def test_an_import_that_was_committed_ends_by_itself(one, web, method):
    with killed(one, 'announced') as host:
        image_id = host.create()
        if method == 'glance-direct':
            assert host.put(image_id, DATA).status_code == 204
            host.post_import(image_id)
        else:
            host.post_import(image_id, method, method={'uri': web.url + '/disk'})
    check_import(host, image_id)


@everywhere
def test_a_deletion_that_was_not_committed_changed_nothing(one):
    with killed(one, 'deleted', 'after') as host:
        image_id = host.create(**{'os_word': 'kept'})
        assert host.put(image_id, DATA, 'file').status_code == 204
        host.request('DELETE', f'/v2/images/{image_id}')
    assert host.image(image_id)['os_word'] == 'kept'
    assert host.sha512(image_id) == SHA512


@everywhere
@pytest.mark.parametrize('to', ['file', 'stage'])
def test_a_deletion_that_was_committed_is_for_good_and_for_all_bytes(one, to):
    with killed(one, 'removed') as host:
        image_id = host.create()
        assert host.put(image_id, DATA, to).status_code == 204
        host.request('DELETE', f'/v2/images/{image_id}')
    assert host.request('GET', f'/v2/images/{image_id}').status_code == 404
    assert host.put(image_id, DATA, to).status_code == 404


@anywhere
def test_deleting_under_an_import_that_then_loses_its_api_leaves_nothing(one, web):
    with killed(one, 'removed') as host:
        image_id = host.create()
        host.post_import(image_id, 'web-download', method={'uri': web.url + '/drip'})
        wait_for(lambda: host.staged(), 10, 'some bytes')
        host.request('DELETE', f'/v2/images/{image_id}')
    assert host.request('GET', f'/v2/images/{image_id}').status_code == 404


def dies_by_reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()


def dies_by_half_close(sock):
    sock.shutdown(socket.SHUT_WR)


def stalls(sock):
    """Says nothing more; ``client_socket_timeout`` ends it."""


@anywhere
@pytest.mark.parametrize('death', [dies_by_reset, dies_by_half_close, stalls])
def test_a_client_that_dies_may_come_back_at_once(one, death):
    host = one.host
    images = {'stage': host.create(), 'file': host.create()}
    sockets = [send_half(host, image_id, to) for to, image_id in images.items()]
    statuses = ['uploading', 'saving']
    wait_for(lambda: [status(host, i) for i in images.values()] == statuses, 5, 'two uploads')
    for sock in sockets:
        death(sock)
    wait_for(lambda: {status(host, i) for i in images.values()} == {'queued'}, 4, 'two queued')
    assert host.staged() == one.files('fast') == []
    for sock in sockets:
        sock.close()
    for image_id in images.values():
        import_anew(host, image_id)


def send_half(host, image_id, to):
    sock = socket.create_connection(('127.0.0.1', host.port))
    sock.sendall(
        f'PUT /v2/images/{image_id}/{to} HTTP/1.1\r\nHost: h\r\n'
        f'Content-Type: application/octet-stream\r\nContent-Length: {len(DATA)}\r\n\r\n'.encode()
    )
    sock.sendall(DATA[: len(DATA) // 2])
    return sock


def test_a_lost_host_gives_its_uploads_up_in_half_a_minute(tmp_path):
    """The whole API is killed, with the times that the service keeps by itself."""
    with (
        services.database('postgresql', str(tmp_path)) as url,
        hosts(tmp_path, url, 'A') as one,
    ):
        (host,) = one.all
        images = [host.create(), host.create()]
        go_on = threading.Event()

        def slowly():
            yield DATA[:100_000]
            go_on.wait(60)

        with ThreadPoolExecutor(2) as pool:
            for image_id, to in zip(images, ('stage', 'file'), strict=True):
                pool.submit(host.put, image_id, slowly(), to)
            wait_for(
                lambda: [status(host, i) for i in images] == ['uploading', 'saving'], 10, 'uploads'
            )
            wait_for(lambda: host.staged() and one.files('fast'), 5, 'bytes')
            host.api.kill()
            killed = time.monotonic()
            go_on.set()
        host.start_api()
        for image_id in images:
            assert host.post_import(image_id).status_code == 409
        wait_for(lambda: {status(host, i) for i in images} == {'queued'}, 30, 'two queued')
        print(f'queued {time.monotonic() - killed:.1f} s after the end of the API')
        wait_for(lambda: host.staged() == one.files('fast') == [], 30, 'empty folders')
        print(f'... and their bytes removed {time.monotonic() - killed:.1f} s after it')
        for image_id in images:
            import_anew(host, image_id)
        one.assert_only(*images)
