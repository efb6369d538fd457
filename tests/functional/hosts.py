# SPDX-License-Identifier: Apache-2.0
"""Several hosts on one machine, and a proxy in front of them that gives each request to the next.

Each host has an API, a conductor, a staging directory and a file of options of its own. They share
a database and the directories of the stores, and know nothing of each other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from tests.functional.processes import Process, free_port, program, wait_for
from tests.functional.service import LOCAL_SOURCES, Service

FAULTY = str(Path(__file__).with_name('faulty.py'))


class Host(Service):
    """One host: its processes, and what a client says to its own API."""

    api: Process | None = None
    conductor: Process | None = None

    def __init__(self, name: str, folder: Path, port: int, staging: Path) -> None:
        self.name, self.folder, self.port, self.staging = name, folder, port, staging
        self.url = f'http://127.0.0.1:{port}'
        self.config = folder / 'glance-api.conf'

    def start_api(self, **env: str) -> Process:
        """Start the API; with an environment, the one of ``faulty.py``."""
        self.api = self._start('api', env)
        wait_for(self.answers, 60, f'an answer of host {self.name}')
        return self.api

    def start_conductor(self, **env: str) -> Process:
        """Start the conductor; with an environment, the one of ``faulty.py``."""
        before = self.log().count('runs imports')
        self.conductor = self._start('conductor', env)
        wait_for(lambda: self.log().count('runs imports') > before, 60, 'a conductor')
        return self.conductor

    def answers(self) -> bool:
        """Whether the API answers."""
        with contextlib.suppress(requests.RequestException):
            return self.request('GET', '/healthcheck', timeout=5).status_code == 200
        return False

    def refuses(self) -> bool:
        """Whether the API takes no connection."""
        try:
            socket.create_connection(('127.0.0.1', self.port), 5).close()
        except ConnectionError:
            return True
        return False

    def staged(self) -> list[str]:
        """Return the files in the staging directory."""
        return sorted(name for name in os.listdir(self.staging) if not name.startswith('.'))

    def kill(self) -> None:
        """End both processes at once, as a power failure does."""
        for process in (self.api, self.conductor):
            if process is not None:
                process.kill()
        self.api = self.conductor = None
        wait_for(self.refuses, 10, 'a closed port')

    def log(self, name: str = 'conductor') -> str:
        """Return what the API or the conductor logged, in all its lives."""
        path = self.folder / f'{name}.log'
        return path.read_text(errors='replace') if path.exists() else ''

    def _start(self, name: str, env: dict[str, str]) -> Process:
        args = [sys.executable, FAULTY, name] if env else [program(f'glance-lite-{name}')]
        config = ['--config-file', str(self.config)]
        return Process([*args, *config], self.folder / f'{name}.log', env)


class Proxy:
    """Gives each connection to the next host, and to another if that one refuses it.

    Bytes pass as they come. The tests' client uses a connection for each request.
    """

    def __init__(self, hosts: list[Host]) -> None:
        #: Per request: its method and path, and the name of the host that got it.
        self.served: list[tuple[str, str]] = []
        self._hosts = hosts
        self._turn = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = client.recv(65536)
            if not head:
                return
            with self._lock:
                first, self._turn = self._turn, self._turn + 1
            for number in range(len(self._hosts)):
                host = self._hosts[(first + number) % len(self._hosts)]
                try:
                    server = socket.create_connection(('127.0.0.1', host.port))
                except ConnectionRefusedError:
                    continue
                line = head.split(b' HTTP/')[0].decode()
                self.served.append((line, host.name))
                with server:
                    server.sendall(head)
                    other = threading.Thread(target=_pump, args=(client, server), daemon=True)
                    other.start()
                    _pump(server, client)
                    with contextlib.suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)
                    other.join()
                return
            client.sendall(b'HTTP/1.1 503 No host\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n')


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 18):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Hosts(Service):
    """All hosts, and what a client says to the proxy."""

    def __init__(self, folder: Path, hosts: list[Host], proxy: Proxy) -> None:
        self.folder, self.all, self.proxy = folder, hosts, proxy
        self.url = f'http://127.0.0.1:{proxy.port}'

    def __getitem__(self, name: str) -> Host:
        return next(host for host in self.all if host.name == name)

    def staged(self) -> dict[str, list[str]]:
        """Return the files in the staging directory of each host."""
        return {host.name: host.staged() for host in self.all}

    def assert_only(self, *image_ids: str) -> None:
        """Assert that nothing is staged, and that the stores have these images and no more."""
        assert not any(self.staged().values()), self.staged()
        assert [name.split('.')[0] for name in self.files('fast')] == sorted(image_ids)
        assert self.files('cold') == []


@contextlib.contextmanager
def hosts(
    folder: Path,
    connection: str,
    names: str = 'AB',
    extra: str = '',
    start: bool = True,
    shared_staging: bool = False,
) -> Iterator[Hosts]:
    """Run hosts of these names while the block runs, each with an API and a conductor."""
    made = []
    for name in names:
        staging = (folder if shared_staging else folder / name) / 'staging'
        host = Host(name, folder / name, free_port(), staging)
        host.folder.mkdir()
        host.config.write_text(
            f'[DEFAULT]\nbind_port = {host.port}\nworkers = 1\napi_only = true\n'
            f'enabled_backends = fast:file, cold:file\nnode_staging_uri = file://{host.staging}\n'
            '[glance_store]\ndefault_backend = fast\n'
            f'[fast]\nfilesystem_store_datadir = {folder}/fast\n'
            f'[cold]\nfilesystem_store_datadir = {folder}/cold\n'
            f'[database]\nconnection = {connection}\n'
            '[api]\ngraceful_shutdown_timeout = 10\n'
            '[conductor]\nlease = 2\npoll_interval = 0.1\n' + LOCAL_SOURCES + extra
        )
        made.append(host)
    sync = [program('glance-lite-manage'), '--config-file', str(made[0].config), 'db', 'sync']
    subprocess.run(sync, check=True, capture_output=True)
    proxy = Proxy(made)
    try:
        if start:
            start_all(made)
        yield Hosts(folder, made, proxy)
    finally:
        proxy.close()
        for host in made:
            host.kill()


def start_all(made: list[Host]) -> None:
    """Start all processes of these hosts at once."""
    at_once(*(host.start_api for host in made), *(host.start_conductor for host in made))


def at_once(*starts: Callable[[], object]) -> None:
    """Call these functions side by side."""
    with ThreadPoolExecutor(len(starts)) as pool:
        for started in [pool.submit(start) for start in starts]:
            started.result()


def freeze(process: Process) -> None:
    """Stop a process and its children where they are (SIGSTOP)."""
    os.killpg(process.popen.pid, signal.SIGSTOP)


def thaw(process: Process) -> None:
    """Let them go on (SIGCONT)."""
    os.killpg(process.popen.pid, signal.SIGCONT)


def is_frozen(process: Process) -> bool:
    """Tell whether the process itself stands still, by its own doing or another's."""
    with open(f'/proc/{process.popen.pid}/stat', encoding='ascii') as file:
        return file.read().rpartition(')')[2].split()[0] == 'T'
