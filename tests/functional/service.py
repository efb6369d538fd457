# SPDX-License-Identifier: Apache-2.0
"""A whole service in processes of its own, on a database of any kind, and a plain HTTP client."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.functional.processes import Process, free_port, program, running, wait_for

LOCAL_SOURCES = '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'


class Service:
    """One running service: its URL, its folders, and what a client of it does."""

    def __init__(self, folder: Path, port: int, process: Process) -> None:
        self.folder, self.process = folder, process
        self.url = f'http://127.0.0.1:{port}'
        self.config = folder / 'glance-api.conf'

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request; JSON errors are asked for."""
        options.setdefault('timeout', 60)
        headers = {'Accept': 'application/json', **options.pop('headers', {})}
        return requests.request(method, self.url + path, headers=headers, **options)

    def create(self, **values: Any) -> str:
        """Create an image; return its id."""
        body = {'name': 'disk', 'disk_format': 'raw', 'container_format': 'bare', **values}
        answer = self.request('POST', '/v2/images', json=body)
        assert answer.status_code == 201, answer.text
        found: str = answer.json()['id']
        return found

    def replace(self, image_id: str, **values: Any) -> None:
        """Give fields of an image other values."""
        answer = self.request(
            'PATCH',
            f'/v2/images/{image_id}',
            data=json.dumps(
                [{'op': 'replace', 'path': f'/{n}', 'value': v} for n, v in values.items()]
            ),
            headers={'Content-Type': 'application/openstack-images-v2.1-json-patch'},
        )
        assert answer.status_code == 200, answer.text

    def put(self, image_id: str, data: Any, to: str = 'stage', **headers: str) -> requests.Response:
        """Stage or upload data."""
        return self.request(
            'PUT',
            f'/v2/images/{image_id}/{to}',
            data=data,
            headers={'Content-Type': 'application/octet-stream', **headers},
        )

    def post_import(
        self,
        image_id: str,
        name: str = 'glance-direct',
        method: dict[str, Any] | None = None,
        **more: Any,
    ) -> requests.Response:
        """Ask for an import by the method of this name, with more fields of it and beside it."""
        body = {'method': {'name': name, **(method or {})}, **more}
        return self.request('POST', f'/v2/images/{image_id}/import', json=body)

    def image(self, image_id: str) -> dict[str, Any]:
        """Read an image."""
        answer = self.request('GET', f'/v2/images/{image_id}')
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def last_task(self, image_id: str) -> dict[str, Any]:
        """Read the newest task of an image."""
        answer = self.request('GET', f'/v2/images/{image_id}/tasks')
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()['tasks'][-1]
        return found

    def wait(self, image_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until the newest import of an image has ended; return its task."""
        wait_for(
            lambda: self.last_task(image_id)['status'] in ('success', 'failure'),
            seconds,
            f'the end of the import of {image_id}',
        )
        return self.last_task(image_id)

    def sha512(self, image_id: str) -> str:
        """Download an image and return the hash of what came."""
        digest = hashlib.sha512()
        with self.request('GET', f'/v2/images/{image_id}/file', stream=True) as answer:
            assert answer.status_code == 200
            for chunk in answer.iter_content(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def files(self, place: str) -> list[str]:
        """Return the files in ``staging``, or in a store's folder."""
        return sorted(n for n in os.listdir(self.folder / place) if not n.startswith('.'))

    def cli(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the installed clients against the service."""
        name, *rest = args
        env = {'PATH': os.environ['PATH'], 'HOME': str(self.folder), 'TERM': 'dumb'}
        # a standard input that is no terminal would be taken for the data of an image
        terminal, end = pty.openpty()
        try:
            return subprocess.run(
                [program(name), *rest],
                **{'stdin': end, 'timeout': 120, **options},
                capture_output=True,
                text=True,
                env={**env, **self.sign_in(name)},
                check=False,
            )
        finally:
            os.close(terminal)
            os.close(end)

    def sign_in(self, client: str) -> dict[str, str]:
        """Return the variables by which a client finds the service and signs in."""
        if client == 'glance':
            return {'OS_IMAGE_URL': self.url, 'OS_AUTH_TOKEN': 'none'}
        return {
            'OS_AUTH_TYPE': 'none',
            'OS_ENDPOINT': self.url,
            'GLANCE_LITE_ENDPOINT': self.url,
        }

    def openstack(self, *args: str) -> Any:
        """Run ``openstack``, which must succeed; return its JSON output if it has some."""
        done = self.cli('openstack', *args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if '-f' in args else done.stdout

    def glance(self, *args: str) -> str:
        """Run ``glance``, which must succeed; return what it prints."""
        done = self.cli('glance', *args)
        assert done.returncode == 0, done.stderr
        return done.stdout


def write_config(folder: Path, port: int, connection: str, extra: str) -> None:
    """Write the configuration of a service with two file stores."""
    (folder / 'glance-api.conf').write_text(
        f'[DEFAULT]\nbind_port = {port}\nenabled_backends = fast:file, cold:file\n'
        f'node_staging_uri = file://{folder}/staging\n'
        '[glance_store]\ndefault_backend = fast\n'
        f'[fast]\nfilesystem_store_datadir = {folder}/fast\n'
        f'[cold]\nfilesystem_store_datadir = {folder}/cold\n'
        f"[database]\nconnection = {connection}\n"
        f'[api]\ngraceful_shutdown_timeout = 10\n' + extra
    )


@contextlib.contextmanager
def service(folder: Path, connection: str | None = None, extra: str = '') -> Iterator[Service]:
    """Run a service while the block runs; its database is synced first."""
    port = free_port()
    write_config(folder, port, connection or f'sqlite:///{folder}/db.sqlite', extra)
    config = ['--config-file', str(folder / 'glance-api.conf')]
    subprocess.run(
        [program('glance-lite-manage'), *config, 'db', 'sync'], check=True, capture_output=True
    )
    with running([program('glance-lite-api'), *config], folder / 'service.log') as process:
        found = Service(folder, port, process)
        wait_until_up(found)
        try:
            yield found
        finally:
            process.stop()


def wait_until_up(found: Service) -> None:
    """Wait until the service answers.

    :raises AssertionError: it ended, or does not answer in time.
    """
    start = time.monotonic()
    while True:
        with contextlib.suppress(requests.ConnectionError):
            if found.request('GET', '/healthcheck').status_code == 200:
                return
        assert found.process.popen.poll() is None, found.process.text()
        assert time.monotonic() - start < 60, found.process.text()
        time.sleep(0.05)
