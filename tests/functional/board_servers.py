# SPDX-License-Identifier: Apache-2.0
"""Servers of job boards in processes of their own, to be killed, emptied and started again."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import services
from tests.functional.processes import Process, free_port, wait_for

#: Set by ``tox -e boards``: test the boards of etcd and ZooKeeper too.
ALL = os.environ.get('GLANCE_LITE_TEST_BOARDS') == '1'
ZOOKEEPER_JAR = Path('/usr/share/java/zookeeper.jar')


class BoardServer:
    """A server on a free port of the loopback, with its data in ``folder``."""

    kind: str
    package: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The URL for ``[conductor] board_url``."""
        return f'{self.kind}://127.0.0.1:{self.port}'

    def start(self) -> None:
        """Start the server on its port, with the data that it has, and wait until it answers."""
        data = self.folder / 'data'
        data.mkdir(exist_ok=True)
        self._process = Process(self.command(data), self.folder / f'{self.kind}.log')
        wait_for(self.answers, 60, f'an answer of {self.kind}')

    def kill(self) -> None:
        """End the server at once."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def freeze(self) -> None:
        """Stop the server as if it were overloaded: it accepts and does not answer."""
        assert self._process is not None
        os.killpg(self._process.popen.pid, signal.SIGSTOP)

    def forget(self) -> None:
        """Remove the data of a server that does not run."""
        shutil.rmtree(self.folder / 'data')

    def command(self, data: Path) -> list[str]:
        """Return what starts the server."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Tell whether the server can be used."""
        return self.ask(b'PING\r\n').startswith(b'+PONG')

    def ask(self, text: bytes) -> bytes:
        """Send text to the port and return what comes first, nothing if nobody is there."""
        with contextlib.suppress(OSError):
            with socket.create_connection(('127.0.0.1', self.port), 2) as connection:
                connection.sendall(text)
                return connection.recv(100)
        return b''


class Redis(BoardServer):
    kind, package = 'redis', 'redis-server'

    @staticmethod
    def installed() -> bool:
        return shutil.which('redis-server') is not None

    def command(self, data: Path) -> list[str]:
        return [
            'redis-server',
            '--port',
            str(self.port),
            '--bind',
            '127.0.0.1',
            '--dir',
            str(data),
            '--save',
            '',
            '--appendonly',
            'yes',
            '--appendfsync',
            'always',
        ]


class Etcd(BoardServer):
    kind, package = 'etcd', 'etcd-server'

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._peer_port = free_port()

    @staticmethod
    def installed() -> bool:
        return shutil.which('etcd') is not None

    def command(self, data: Path) -> list[str]:
        client, peer = (f'http://127.0.0.1:{port}' for port in (self.port, self._peer_port))
        return [
            'etcd',
            '--data-dir',
            str(data),
            '--listen-client-urls',
            client,
            '--advertise-client-urls',
            client,
            '--listen-peer-urls',
            peer,
            '--initial-advertise-peer-urls',
            peer,
            '--initial-cluster',
            f'default={peer}',
        ]

    def answers(self) -> bool:
        return b' 200 ' in self.ask(b'GET /health HTTP/1.0\r\n\r\n')


class Zookeeper(BoardServer):
    kind, package = 'zookeeper', 'zookeeperd'

    @staticmethod
    def installed() -> bool:
        return ZOOKEEPER_JAR.exists() and shutil.which('java') is not None

    def command(self, data: Path) -> list[str]:
        settings = self.folder / 'zoo.cfg'
        settings.write_text(
            f'tickTime=500\ndataDir={data}\nclientPort={self.port}\n'
            'clientPortAddress=127.0.0.1\nadmin.enableServer=false\n'
            '4lw.commands.whitelist=srvr\n'
        )
        return [
            'java',
            '-cp',
            f'/etc/zookeeper/conf:{ZOOKEEPER_JAR}:{ZOOKEEPER_JAR.parent}/*',
            'org.apache.zookeeper.server.quorum.QuorumPeerMain',
            str(settings),
        ]

    def answers(self) -> bool:
        return self.ask(b'srvr').startswith(b'Zookeeper version')


SERVERS = {'redis': Redis, 'etcd': Etcd, 'zookeeper': Zookeeper}
MODULES = {'redis': 'redis', 'etcd': 'etcd3gw', 'zookeeper': 'kazoo'}


@contextlib.contextmanager
def board_server(kind: str, folder: Path) -> Iterator[BoardServer]:
    """Run a server while the block runs, or skip the test for want of it."""
    if kind != 'redis' and not ALL:
        pytest.skip(f'the board of {kind} is tested by: tox -e boards')
    server = SERVERS[kind](folder)
    missing = []
    if not server.installed():
        missing.append(f'apt install {server.package}')
    if importlib.util.find_spec(MODULES[kind]) is None:
        missing.append(f"pip install 'glance_lite[{kind}]'")
    if missing:
        reason = f'No {kind} here. Install it: {"; ".join(missing)}'
        services.missing(reason) if kind == 'redis' else pytest.skip(reason)
    server.start()
    try:
        yield server
    finally:
        server.kill()
