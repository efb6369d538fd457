# SPDX-License-Identifier: Apache-2.0
"""``glance-lite`` and the ``openstack`` client against the real service, as processes."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time

# by name: importing eventlet puts its own module in the place of the attribute http.server
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from glance_lite.client.local_service import LocalService
from glance_lite.testing import images as sample_images

CLIENT = [sys.executable, '-m', 'glance_lite.cmd.client']
OPENSTACK = Path(sys.executable).parent / 'openstack'


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A web server on loopback: its folder, its URL, and what a slow download waits for."""
    folder = tmp_path_factory.mktemp('source')

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args):
            return None

        def copyfile(self, body, output):
            if 'slow' in self.path:
                output.write(body.read(1024))
                output.flush()
                release.wait(60)
            super().copyfile(body, output)

    release = threading.Event()
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f'http://127.0.0.1:{server.server_port}', release
    release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope='module')
def service(tmp_path_factory, source):
    """The service; it may download from the web server of these tests and from nowhere else."""
    port = source[1].rsplit(':', 1)[1]
    with LocalService(tmp_path_factory.mktemp('service') / 'a folder') as local:
        local.prepare()
        with open(local.import_conf, 'a') as conf:
            conf.write(
                '\n[import_filtering_opts]\npermitted_networks = [127.0.0.1/32]\n'
                f'allowed_ports = [{port}]\n'
            )
        local.start()
        yield local


@pytest.fixture(scope='module')
def disk(tmp_path_factory):
    path = tmp_path_factory.mktemp('disk') / 'disk.img'
    sample_images.write_qcow2(path, data_bytes=8 << 20)
    return path


@pytest.fixture
def run(service):
    """Run ``glance-lite`` and return its result."""

    def call(*arguments):
        environment = {**os.environ, 'GLANCE_LITE_ENDPOINT': service.url, 'NO_PROXY': '127.0.0.1'}
        return subprocess.run(
            [*CLIENT, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return call


def openstack(service, *arguments):
    """Run the ``openstack`` client and return what it wrote."""
    environment = {
        **os.environ,
        'OS_AUTH_TYPE': 'none',
        'OS_ENDPOINT': service.url,
        'NO_PROXY': '127.0.0.1',
    }
    return subprocess.run(
        [OPENSTACK, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def sha512(path):
    return hashlib.sha512(path.read_bytes()).hexdigest()


def test_a_file_becomes_an_image_that_downloads_as_it_was(service, run, disk, tmp_path):
    result = run(
        'import', disk, '--name', 'a disk', '--property', 'os_distro=debian', '--tag', 'a', '--json'
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    image = document['image']
    assert (
        image.items()
        >= {
            'name': 'a disk',
            'status': 'active',
            'disk_format': 'qcow2',
            'os_distro': 'debian',
            'imported_by': 'glance_lite quick start',
            'os_hash_value': sha512(disk),
        }.items()
    )
    copy = tmp_path / 'copy'
    openstack(service, 'image', 'save', '--file', str(copy), image['id'])
    assert sha512(copy) == sha512(disk)
    assert image['id'] in openstack(service, 'image', 'list')


def test_each_phase_is_told_in_order(run, disk):
    result = run('import', disk)
    assert result.returncode == 0, result.stderr
    phases = [line.split()[0] for line in result.stderr.splitlines() if line.startswith('  ')]
    assert phases[:3] == ['stage', 'confirm-claim', 'use-staged']
    assert 'run-plugin:inject_image_metadata' in phases
    assert phases.index('verify-staged') < phases.index('activate-image')
    assert phases[-1] == 'complete-task'


def test_a_url_with_its_hash_becomes_an_image(run, disk, source):
    folder, url, _ = source
    (folder / 'disk.qcow2').write_bytes(disk.read_bytes())
    result = run('import', f'{url}/disk.qcow2', '--hash', f'sha512:{sha512(disk)}', '--json')
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)['image']['os_hash_value'] == sha512(disk)


def test_a_wrong_hash_fails_and_the_right_file_can_follow(run, disk, source):
    folder, url, _ = source
    (folder / 'other.qcow2').write_bytes(disk.read_bytes())
    result = run('import', f'{url}/other.qcow2', '--hash', f'sha512:{"0" * 128}', '--json')
    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert document['error']['code'] == 'checksum_mismatch'
    assert document['image']['status'] == 'queued'
    assert 'FILE_OR_URL' in result.stderr
    again = run('retry', document['image']['id'], disk)
    assert again.returncode == 0, again.stderr


def test_a_missing_source_can_be_tried_again_when_it_is_there(run, disk, source):
    folder, url, _ = source
    result = run('import', f'{url}/later.qcow2', '--json')
    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert document['error']['code'] == 'source_http_error'
    (folder / 'later.qcow2').write_bytes(disk.read_bytes())
    again = run('retry', document['image']['id'])
    assert again.returncode == 0, again.stderr


def test_content_of_another_format_is_refused_with_the_reason(run, disk):
    result = run('import', disk, '--disk-format', 'vmdk', '--json')
    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert document['error']['code'] == 'format_mismatch'
    assert 'declared as vmdk' in result.stderr


def test_a_private_address_is_refused_and_leaves_no_image(service, run):
    before = openstack(service, 'image', 'list', '-f', 'value')
    result = run('import', 'http://10.1.2.3/disk.qcow2')
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    assert openstack(service, 'image', 'list', '-f', 'value') == before


def test_an_unknown_store_is_found_before_anything_is_made(service, run, disk):
    result = run('import', disk, '--store', 'nowhere')
    assert result.returncode == 2
    assert 'There is no store nowhere. Stores: file.' in result.stderr


def test_a_terminal_sees_a_moving_bar(service, tmp_path):
    big = tmp_path / 'big.raw'
    big.write_bytes(os.urandom(1 << 20) * 128)
    written = run_on_terminal(service, ['import', str(big)])
    assert '\r\x1b[K' in written
    assert '% of 128.0 MiB' in written
    assert 'status            active' in written


def test_ctrl_c_leaves_the_import_running_and_tells_how_to_watch_it(service, source, disk):
    folder, url, release = source
    (folder / 'slow.qcow2').write_bytes(disk.read_bytes())
    process = subprocess.Popen(
        [*CLIENT, 'import', f'{url}/slow.qcow2', '--endpoint', service.url],
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ''
    while 'confirm-claim' not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    seen += process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert 'The import goes on without this program' in seen and 'Traceback' not in seen
    command = seen.strip().splitlines()[-1].split()
    assert command[:2] == ['glance-lite', 'watch']
    release.set()
    watched = subprocess.run([*CLIENT, *command[1:]], capture_output=True, text=True, timeout=120)
    assert watched.returncode == 0, watched.stderr
    assert 'active' in watched.stdout


def run_on_terminal(service, arguments):
    """Run ``glance-lite`` on a pseudo-terminal and return everything that it wrote there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(GLANCE_LITE_ENDPOINT=service.url, COLUMNS='100', NO_PROXY='127.0.0.1')
        os.execv(CLIENT[0], [*CLIENT, *arguments])
    written, give_up_at = b'', time.monotonic() + 120
    while time.monotonic() < give_up_at:
        ready, _, _ = select.select([terminal], [], [], 1)
        if not ready:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, written.decode()
    return written.decode()
