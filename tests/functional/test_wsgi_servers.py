# SPDX-License-Identifier: Apache-2.0
"""The same application under gunicorn and uWSGI, with a conductor of its own beside it."""

import hashlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from tests.functional.processes import free_port, program, running, wait_for
from tests.functional.service import LOCAL_SOURCES, Service, wait_until_up, write_config
from tests.functional.sources import source

DATA = os.urandom(3_000_000)
SHA512 = hashlib.sha512(DATA).hexdigest()


def command(server, port):
    if server == 'gunicorn':
        return [
            program('gunicorn'),
            '--bind',
            f'127.0.0.1:{port}',
            '--worker-class',
            'gthread',
            '--threads',
            '8',
            '--workers',
            '2',
            'glance_lite.wsgi:application',
        ]
    return [
        program('pyuwsgi'),
        '--http-socket',
        f'127.0.0.1:{port}',
        '--http-chunked-input',
        '--master',
        '--processes',
        '2',
        '--threads',
        '8',
        '--enable-threads',
        '--die-on-term',
        '--module',
        'glance_lite.wsgi:application',
        '--buffer-size',
        '65535',
    ]


@pytest.fixture(scope='module', params=['gunicorn', 'uwsgi'])
def api(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    port = free_port()
    write_config(folder, port, f'sqlite:///{folder}/db.sqlite', LOCAL_SOURCES)
    config = ['--config-file', str(folder / 'glance-api.conf')]
    env = {'OS_GLANCE_CONFIG_DIR': str(folder)}
    with (
        running([program('glance-lite-conductor'), *config], folder / 'conductor.log'),
        running(command(request.param, port), folder / 'server.log', env) as process,
    ):
        found = Service(folder, port, process)
        wait_until_up(found)
        yield found


def test_a_staged_image_is_imported_and_downloaded(api):
    image_id = api.create()
    assert api.put(image_id, DATA).status_code == 204
    assert api.post_import(image_id).status_code == 202
    assert api.wait(image_id)['status'] == 'success'
    assert api.sha512(image_id) == SHA512
    part = api.request('GET', f'/v2/images/{image_id}/file', headers={'Range': 'bytes=-100'})
    assert (part.status_code, part.content) == (206, DATA[-100:])


def test_answers_that_wait_leave_threads_to_the_others(api):
    """More ask than there are threads: one of a process waits, the others are told at once."""
    with source(DATA) as web:
        given = {
            'import_from': f'{web.url}/drip',
            'import_from_format': 'raw',
            'image_properties': {},
        }
        answer = api.request('POST', '/v2/tasks', json={'type': 'import', 'input': given})
        path = f"/v2/tasks/{answer.json()['id']}"
        wait_for(lambda: api.request('GET', path).json()['status'] == 'processing', 60, 'a start')
        with ThreadPoolExecutor(24) as pool:
            asked = [pool.submit(api.request, 'GET', path + '?wait=60') for _ in range(24)]
            early = [future.result() for future in itertools.islice(as_completed(asked), 22)]
            assert {found.json()['status'] for found in early} == {'processing'}
            assert api.request('GET', '/v2/images').status_code == 200
            web.gate.set()
            assert {future.result().status_code for future in asked} == {200}
    wait_for(lambda: api.request('GET', path).json()['status'] == 'success', 60, 'its end')


def test_a_body_in_chunks_is_taken(api):
    image_id = api.create()

    def chunks():
        for at in range(0, len(DATA), 100_000):
            yield DATA[at : at + 100_000]

    assert api.put(image_id, chunks(), 'file').status_code == 204
    assert api.image(image_id)['os_hash_value'] == SHA512


@pytest.mark.parametrize('server', ['gunicorn', 'uwsgi'])
def test_a_missing_plugin_stops_the_start(tmp_path, server):
    write_config(
        tmp_path,
        free_port(),
        f'sqlite:///{tmp_path}/db.sqlite',
        '[image_import_opts]\nimage_import_plugins = [virus_scan]\n',
    )
    args = [*command(server, free_port()), *(['--need-app'] if server == 'uwsgi' else [])]
    env = {'OS_GLANCE_CONFIG_DIR': str(tmp_path)}
    with running(args, tmp_path / 'server.log', env) as process:
        assert process.popen.wait(30) != 0
        assert "there is no plugin 'virus_scan' installed" in process.text()


def test_refusals_are_as_with_our_own_server(api):
    assert api.request('GET', '/v2/images/nothing').status_code == 404
    assert api.request('PUT', '/v2/images').status_code == 405
    answer = api.request(
        'POST',
        '/v2/images',
        data=b'{',
        headers={
            'Content-Type': 'application/json',
        },
    )
    assert answer.status_code == 400 and answer.json()['error']['request_id']


def test_a_torn_upload_leaves_nothing(api):
    image_id = api.create()

    def torn():
        yield DATA[:1_000_000]
        wait_for(lambda: api.image(image_id)['status'] == 'saving', 10, 'status saving')
        raise OSError('the client is gone')

    with pytest.raises(Exception, match='gone'):
        api.put(image_id, torn(), 'file')
    wait_for(lambda: api.image(image_id)['status'] == 'queued', 30, 'status queued')
    assert not [name for name in api.files('fast') if name.startswith(image_id)]
