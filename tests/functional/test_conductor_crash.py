# SPDX-License-Identifier: Apache-2.0
"""``kill -9`` of the conductor in each phase of an import of 256 MiB, by each method.

The import ends by itself within 15 s of the restart, its hash is right, and nothing is left over.
So does a copy of an active image, which stays active all the time.
"""

import hashlib
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.engine import Engine
from tests.functional.processes import program, running, wait_for

SIZE = 256 * 1024 * 1024
BLOCK = os.urandom(1024 * 1024)
PHASES = [
    'confirm-claim',
    'bytes',
    'verify-staged',
    'run-plugin:no_op',
    'measure-data',
    'copy-to-store:fast',
    'activate-image',
    'delete-staged',
    'complete-task',
]
EXTRA = (
    '[image_import_opts]\nimage_import_plugins = [no_op]\n'
    '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'
)


@pytest.fixture(scope='module')
def expected():
    digest = hashlib.sha512()
    for _ in range(SIZE // len(BLOCK)):
        digest.update(BLOCK)
    return digest.hexdigest()


@pytest.fixture(scope='module')
def source():
    """Serve the disk; at /slow stop after half of it until released."""
    release = threading.Event()
    half = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Length', str(SIZE))
            self.end_headers()
            try:
                for number in range(SIZE // len(BLOCK)):
                    if self.path == '/slow' and number == 128:
                        half.set()
                        release.wait(60)
                    self.wfile.write(BLOCK)
            except OSError:
                pass

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f'http://127.0.0.1:{server.server_port}'
    server.half, server.release = half, release
    yield server
    release.set()
    server.shutdown()
    server.server_close()


def conductor(tmp_path, **env):
    """Run a conductor, one that pauses if the environment says so."""
    args = (
        [sys.executable, str(Path(__file__).parent / 'paused_conductor.py')]
        if env
        else [program('glance-lite-conductor')]
    )
    config = str(tmp_path / 'glance-api.conf')
    return running([*args, '--config-file', config], tmp_path / 'conductor.log', env)


def check_end(engine, tmp_path, image_id, task_id, expected):
    """Start a conductor and see that the import ends well within 15 s."""
    with conductor(tmp_path):
        took = wait_for(
            lambda: engine.task(task_id).status == 'success', 15, 'the end of the import'
        )
        wait_for(lambda: engine.leftovers()['jobs'] == 0, 5, 'an empty job board')
    image = engine.image(image_id)
    assert (image.status, image.size, image.os_hash_value) == ('active', SIZE, expected)
    assert image.import_task_id is None
    left = engine.leftovers()
    assert (left['staging'], left['flows'], left['cold']) == ([], 0, [])
    path = image.locations[0].url.removeprefix('file://')
    assert [os.path.basename(path)] == left['fast']
    digest = hashlib.sha512()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    assert digest.hexdigest() == expected
    return took


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('method', ['glance-direct', 'web-download'])
def test_an_import_survives_the_death_of_its_conductor(
    tmp_path, make_conf, source, expected, method, phase
):
    engine = Engine(make_conf(EXTRA))
    if method == 'glance-direct':
        image_id = engine.stage(BLOCK * (SIZE // len(BLOCK)))
        task_id = engine.post(image_id, plugins=['no_op'])
    else:
        image_id = engine.create()
        task_id = engine.post(image_id, plugins=['no_op'], uri=source.url + '/disk')
    step = {'glance-direct': 'use-staged', 'web-download': 'download'}[method]
    reached = tmp_path / 'reached'
    with conductor(
        tmp_path, PAUSE_STEP=step if phase == 'bytes' else phase, PAUSE_FILE=str(reached)
    ) as paused:
        wait_for(reached.exists, 30, f'the step {phase}')
        paused.kill()
    check_end(engine, tmp_path, image_id, task_id, expected)


@pytest.mark.parametrize(
    'phase', ['fetch-copy', 'copy-to-store:cold', 'add-locations', 'complete-task']
)
def test_a_copy_survives_the_death_of_its_conductor(tmp_path, make_conf, phase):
    engine = Engine(make_conf(EXTRA))
    image_id = engine.active(BLOCK * 64)
    before = engine.image(image_id)
    task_id = engine.post(image_id, method='copy-image', stores=['cold'])
    reached = tmp_path / 'reached'
    with conductor(tmp_path, PAUSE_STEP=phase, PAUSE_FILE=str(reached)) as paused:
        wait_for(reached.exists, 30, f'the step {phase}')
        paused.kill()
    assert engine.image(image_id).status == 'active'
    with conductor(tmp_path):
        wait_for(lambda: engine.task(task_id).status == 'success', 15, 'the end of the copy')
        wait_for(lambda: engine.leftovers()['jobs'] == 0, 5, 'an empty job board')
    image = engine.image(image_id)
    assert [place.store for place in image.locations] == ['fast', 'cold']
    assert (image.status, image.import_task_id) == ('active', None)
    assert image.os_hash_value == before.os_hash_value and image.properties == {}
    left = engine.leftovers()
    assert (left['staging'], left['flows'], len(left['fast'])) == ([], 0, 1)
    path = image.locations[1].url.removeprefix('file://')
    assert [os.path.basename(path)] == left['cold']
    assert Path(path).read_bytes() == BLOCK * 64


def test_a_download_survives_in_the_middle_of_its_bytes(tmp_path, make_conf, source, expected):
    engine = Engine(make_conf(EXTRA))
    image_id = engine.create()
    task_id = engine.post(image_id, plugins=['no_op'], uri=source.url + '/slow')
    with conductor(tmp_path) as first:
        assert source.half.wait(30)
        wait_for(lambda: (engine.task(task_id).progress or {}).get('bytes_done'), 10, 'progress')
        progress = engine.task(task_id).progress
        assert progress['phase'] == 'download' and progress['bytes_total'] == SIZE
        first.kill()
    source.release.set()
    check_end(engine, tmp_path, image_id, task_id, expected)
