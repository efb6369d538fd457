# SPDX-License-Identifier: Apache-2.0
"""The plugin ``clamav`` with a real clamd, which knows one signature of the test's own."""

import importlib.metadata
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from glance_lite.testing import images
from glance_lite.testing.client import Client
from glance_lite.testing.trial import Trial
from tests import services
from tests.functional.processes import Process, free_port, wait_for

#: The test file of anti-virus researchers (eicar.org), put together here so that no scanner of a
#: developer finds it in this file.
EICAR = b'X5O!P%@AP[4\\PZX54(P^)7CC)7}$' + b'EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'
NAME = 'Test.Eicar'


class RealClamd:
    """A clamd on a socket and a port, with its files in a short-named folder."""

    def __init__(self, folder: Path, program: str) -> None:
        self._folder, self._program = folder, program
        self.path, self.port = folder / 'socket', free_port()
        signatures = folder / 'signatures'
        signatures.mkdir()
        (signatures / 'test.ndb').write_text(f'{NAME}:0:*:{EICAR.hex()}\n')
        (folder / 'clamd.conf').write_text(
            f'DatabaseDirectory {signatures}\n'
            f'LocalSocket {self.path}\nTCPSocket {self.port}\nTCPAddr 127.0.0.1\n'
            'Foreground yes\nStreamMaxLength 8M\nMaxFileSize 8M\nMaxScanSize 16M\n'
            'AlertExceedsMax yes\nConcurrentDatabaseReload no\n'
        )
        self._process: Process | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [self._program, '--config-file', str(self._folder / 'clamd.conf')]
        self._process = Process(command, self._folder / 'clamd.log')
        wait_for(self._answers, 60, 'an answer of clamd')

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(('127.0.0.1', self.port), 2) as connection:
                connection.sendall(b'zPING\0')
                return connection.recv(10) == b'PONG\0'
        except OSError:
            return False


@pytest.fixture
def clamd():
    """Yield a clamd that runs."""
    try:
        importlib.metadata.distribution('glance-lite-clamav')
    except importlib.metadata.PackageNotFoundError:
        services.missing('glance-lite-clamav is not installed: pip install plugins/*/')
    program = shutil.which('clamd') or shutil.which('clamd', path='/usr/sbin')
    if program is None:
        services.missing('There is no clamd here: apt install clamav-daemon')
    # the path of a socket has 107 characters at most
    with tempfile.TemporaryDirectory(prefix='clamd-') as folder:
        found = RealClamd(Path(folder), program)
        try:
            found.start()
            yield found
        finally:
            found.stop()


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a service with the plugin at an address."""
    started = []

    def start(address):
        options = {'clamav': {'address': address, 'piece_size': 4, 'timeout': 60}}
        directory = tmp_path / f'service-{len(started)}'
        directory.mkdir()
        started.append(Trial(directory, ['clamav'], options))
        return started[-1]

    yield start
    for trial in started:
        trial.close()


def write_infected(path: Path, place: int = 3_000_000) -> Path:
    """Write a raw disk with the test signature at a place."""
    images.write_raw(path, 9 * 1024 * 1024)
    with open(path, 'r+b') as file:
        file.seek(place)
        file.write(EICAR)
    return path


def test_what_clamd_finds_is_refused_by_name_and_the_rest_passes(clamd, start, tmp_path):
    infected = write_infected(tmp_path / 'infected')
    clean = images.write_qcow2(tmp_path / 'clean')
    for address in (str(clamd.path), f'tcp://127.0.0.1:{clamd.port}'):
        trial = start(address)
        client = Client(trial)
        image = client.request(
            'POST', '/v2/images', {'disk_format': 'raw', 'container_format': 'bare'}
        ).json
        path = f'/v2/images/{image["id"]}'
        client.request('PUT', f'{path}/stage', infected.read_bytes())
        client.request('POST', f'{path}/import', {'method': {'name': 'glance-direct'}})
        client.run_imports()
        [task] = client.request('GET', f'{path}/tasks').json['tasks']
        assert f'{NAME}.UNOFFICIAL' in task['message']
        assert (task['error']['code'], task['error']['retryable']) == ('plugin_rejected', False)
        found = client.request('GET', path).json
        assert found['status'] == 'queued' and NAME in found['os_glance_import_error']
        assert trial.staged_files() == [] and trial.stored_data(image['id']) is None
        outcome = trial.import_file(clean)
        assert outcome.image.status == 'active'
        assert outcome.task.receipts[0]['note'].startswith('ClamAV ')


@pytest.mark.parametrize('place', [4 * 1024 * 1024 - 20, 9 * 1024 * 1024])
def test_a_signature_is_found_wherever_it_lies(clamd, start, tmp_path, place):
    outcome = start(str(clamd.path)).import_file(
        write_infected(tmp_path / 'disk', place), disk_format='raw'
    )
    assert outcome.code == 'plugin_rejected' and NAME in outcome.task.message


def test_without_clamd_nothing_passes_until_it_is_back(clamd, start, tmp_path):
    trial = start(str(clamd.path))
    image_id = trial.stage(images.write_qcow2(tmp_path / 'clean'))
    clamd.stop()
    outcome = trial.import_staged(image_id)
    assert (outcome.code, outcome.image.status) == ('plugin_failed', 'uploading')
    assert outcome.task.error['retryable'] and str(clamd.path) not in outcome.task.message
    clamd.path.unlink(missing_ok=True)
    clamd.start()
    assert trial.import_staged(image_id).image.status == 'active'
