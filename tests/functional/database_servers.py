# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL or MariaDB of the test's own, to be stopped, killed, starved and started again.

The servers of ``tests/services.py`` are shared and stay as they are. These keep what they committed
when they are killed, but not when the host loses its power.
"""

from __future__ import annotations

import contextlib
import getpass
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from tests import services
from tests.functional.processes import Process, free_port, wait_for
from tests.functional.small_disks import SmallDisk, small_disk


class DatabaseServer:
    """A server on a free port of the loopback, with its data in ``folder``."""

    kind: str
    package: str
    #: Whom it runs as when the tests are run by root.
    user: str
    #: What it takes for a request to end at once.
    stop_signal: signal.Signals
    #: URL of the database that is always there.
    url: sa.URL

    #: Where the data is, if that is a disk of its own.
    disk: SmallDisk | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / 'data'
        self.port = free_port()
        self._process: Process | None = None

    @classmethod
    def missing(cls) -> list[str]:
        """Return the programs that are not installed."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the data directory, once."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return what starts the server."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server on its port, with the data that it has, and wait until it answers."""

        def up() -> bool:
            # after a kill it refuses to start until what is left of it is gone
            if self._process is None or self._process.popen.poll() is not None:
                self._process = Process(self._as_user(self.command()), self.folder / 'log')
            return self.answers()

        wait_for(up, 60, f'an answer of {self.kind}')

    def stop(self) -> None:
        """End the server as an upgrade does: connections are cut, nothing is waited for."""
        assert self._process is not None
        self._process.popen.send_signal(self.stop_signal)
        self._process.popen.wait(60)
        self.kill()

    def kill(self) -> None:
        """End the server and all of its processes at once."""
        if self._process is not None:
            pid = self._process.popen.pid
            children = _children(pid)
            self._process.kill()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self._process = None

    def freeze(self, asleep: bool = True) -> None:
        """Stop all processes of the server where they are, or let them go on."""
        assert self._process is not None
        for pid in (self._process.popen.pid, *_children(self._process.popen.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if asleep else signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether the server has not ended by itself."""
        return self._process is not None and self._process.popen.poll() is None

    def answers(self) -> bool:
        """Tell whether the server can be used."""
        try:
            self.query('SELECT 1')
            return True
        except sa.exc.OperationalError:
            return False

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement outside of any transaction; return its rows."""
        engine = sa.create_engine(self.url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    def create_database(self) -> str:
        """Make an empty database; return its URL."""
        name = f'glance_lite_{uuid.uuid4().hex[:12]}'
        self.query(f'CREATE DATABASE {name}')
        return self.url.set(database=name).render_as_string(hide_password=False)

    @staticmethod
    def counter(url: str) -> Callable[[str], int]:
        """Return a function that counts the rows of a table of a database."""
        engine = sa.create_engine(url, poolclass=sa.NullPool)

        def count(table: str) -> int:
            with engine.connect() as connection:
                return connection.scalar(sa.text(f'SELECT COUNT(*) FROM {table}')) or 0

        return count

    def text(self) -> str:
        """Return the server's log."""
        return (self.folder / 'log').read_text(errors='replace')

    def _as_user(self, command: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return command
        return [
            'setpriv',
            f'--reuid={self.user}',
            f'--regid={self.user}',
            '--init-groups',
            *command,
        ]

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            self._as_user(command), cwd='/', capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


class PostgreSQL(DatabaseServer):
    kind, package, user = 'postgresql', 'postgresql', 'postgres'
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = sa.make_url(f'postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres')

    @classmethod
    def missing(cls) -> list[str]:
        return [name for name in ('initdb', 'postgres') if not cls.program(name)]

    @staticmethod
    def program(name: str) -> str | None:
        """Return the path of a program of the server, which Debian keeps out of the PATH."""
        found = sorted(glob.glob(f'/usr/lib/postgresql/*/bin/{name}'))
        return shutil.which(name) or (found[-1] if found else None)

    def prepare(self) -> None:
        initdb = self.program('initdb')
        assert initdb is not None
        self._run([initdb, '-D', str(self.data), '-U', 'postgres', '-A', 'trust', '--no-sync'])

    def command(self) -> list[str]:
        postgres = self.program('postgres')
        assert postgres is not None
        settings = {
            'port': self.port,
            'listen_addresses': '127.0.0.1',
            'unix_socket_directories': '',
            'fsync': 'off',
            'shared_buffers': '32MB',
            'autovacuum': 'off',
        }
        options = [word for item in settings.items() for word in ('-c', '{}={}'.format(*item))]
        return [postgres, '-D', str(self.data), *options]


class MariaDB(DatabaseServer):
    kind, package, user = 'mariadb', 'mariadb-server', 'mysql'
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = sa.make_url(f'mysql+pymysql://root@127.0.0.1:{self.port}/mysql')

    @classmethod
    def missing(cls) -> list[str]:
        return [name for name in ('mariadb-install-db', 'mariadbd') if not shutil.which(name)]

    def prepare(self) -> None:
        self._run(
            [
                'mariadb-install-db',
                '--no-defaults',
                f'--datadir={self.data}',
                '--auth-root-authentication-method=normal',
                '--skip-test-db',
                '--skip-name-resolve',
                '--innodb-flush-log-at-trx-commit=2',
            ]
        )

    def command(self) -> list[str]:
        return [
            str(shutil.which('mariadbd')),
            '--no-defaults',
            f'--datadir={self.data}',
            f'--socket={self.folder}/socket',
            f'--pid-file={self.folder}/pid',
            f'--port={self.port}',
            '--bind-address=127.0.0.1',
            '--skip-name-resolve',
            # written at each commit, so a killed server loses nothing
            '--innodb-flush-log-at-trx-commit=2',
            '--innodb-buffer-pool-size=32M',
            '--innodb-log-file-size=16M',
            '--performance-schema=OFF',
            '--max-connections=200',
        ]


SERVERS: dict[str, type[DatabaseServer]] = {'postgresql': PostgreSQL, 'mariadb': MariaDB}


@contextlib.contextmanager
def database_server(kind: str, disk_bytes: int = 0) -> Iterator[DatabaseServer]:
    """Run a server while the block runs, or skip the test for want of it.

    With ``disk_bytes`` its data is on a disk of that size of its own: ``server.disk``.
    """
    missing = SERVERS[kind].missing()
    if missing:
        services.missing(
            f'No {" and ".join(missing)} here. Install it: apt install {SERVERS[kind].package}'
        )
    # not in pytest's folder, where nobody but its owner may look
    folder = Path(tempfile.mkdtemp(prefix='glance-lite-test-'))
    server = SERVERS[kind](folder)
    owner = server.user if os.geteuid() == 0 else getpass.getuser()
    uid = pwd.getpwnam(owner).pw_uid
    os.chown(folder, uid, -1)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if disk_bytes:
            server.disk = stack.enter_context(small_disk(folder, disk_bytes, uid))
        stack.callback(server.kill)
        server.prepare()
        server.start()
        yield server


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]
    return []
