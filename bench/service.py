# SPDX-License-Identifier: Apache-2.0
"""Set up and run this project's service as an operator would: its commands and a conf file.

File store and staging lie on one file system, the database is MariaDB, as for the peer. The
source tree is installed into an environment of its own. What is measured does not belong here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import databases
import environments
from http_client import Client
from processes import ServiceProcesses, wait_until

SOURCE = Path(__file__).resolve().parent.parent
START_SECONDS = 60

API_CONF = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = {workers}
api_only = {api_only}
enabled_backends = fast:file
node_staging_uri = file://{folder}/staging
enabled_import_methods = glance-direct, web-download
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {folder}/store
[database]
connection = {database}
[paste_deploy]
flavor = none
[import]
max_unfinished_per_project = 0
[import_filtering_opts]
allowed_schemes = http
allowed_hosts = 127.0.0.1
allowed_ports = {source_port}
"""


UWSGI = """\
[uwsgi]
http-socket = 127.0.0.1:{port}
module = glance_lite.wsgi:application
master = true
processes = {workers}
threads = 8
lazy-apps = true
need-app = true
thunder-lock = true
http-chunked-input = true
listen = 100
buffer-size = 65535
die-on-term = true
disable-logging = true
add-header = Connection: close
"""


class GlanceLite:
    """glance_lite in one folder; ``prepare`` once, then ``start`` and ``stop`` at will."""

    name = 'glance_lite'
    key = 'ours'
    token = 'bench:bench:admin,member,reader'

    def __init__(
        self,
        environment: Path,
        folder: Path,
        port: int,
        source_port: int,
        workers: int = 2,
        api_only: bool = False,
    ) -> None:
        self._environment = environment
        self._folder = folder
        self._workers = workers
        self._api_only = api_only
        self._conf = folder / 'conf' / 'glance-api.conf'
        self._source_port = source_port
        self._database = 'glance_lite_bench_ours'
        self.port = port

    def client(self, timeout_seconds: float = 600) -> Client:
        """Return a client with this service's address and token."""
        return Client(self.port, self.token, timeout_seconds)

    def prepare(self) -> None:
        """Make environment, folders, conf file and an empty synced database."""
        self._bin = environments.make(
            self._environment,
            ['--editable', f'{SOURCE}[mysql,postgresql]', 'pyuwsgi'],
            (SOURCE / 'setup.cfg',),
        )
        for name in ('staging', 'store', 'conf'):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        database = self._make_database()
        self._conf.write_text(
            API_CONF.format(
                folder=self._folder,
                port=self.port,
                workers=self._workers,
                api_only=self._api_only,
                source_port=self._source_port,
                database=database,
            )
        )
        with (self._folder / 'db-sync.log').open('wb') as log:
            command = [self._bin / 'glance-lite-manage', '--config-file', self._conf, 'db', 'sync']
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)

    def _make_database(self) -> str:
        return databases.make(self._bin / 'python', self._database)

    def start(self) -> None:
        """Start the service, with the conductor that it runs itself, and wait until it answers."""
        command, env = self._command()
        self.processes = ServiceProcesses(command, self._folder / 'glance-lite-api.log', env)
        client = self.client(timeout_seconds=5)
        wait_until(client.answers, START_SECONDS, self.name, self.processes)
        client.close()

    def _command(self) -> tuple[list[str], dict[str, str]]:
        return [str(self._bin / 'glance-lite-api'), '--config-file', str(self._conf)], {}

    def stop(self) -> None:
        """End the service's processes; data and database stay."""
        self.processes.stop()

    def remove(self) -> None:
        """Drop the database; the caller removes the folder."""
        databases.drop(self._bin / 'python', self._database)


class UnderUwsgi(GlanceLite):
    """glance_lite under uWSGI, set up like the peer; nobody runs imports."""

    name = 'glance_lite under uWSGI'
    key = 'uwsgi'

    def _command(self) -> tuple[list[str], dict[str, str]]:
        ini = self._folder / 'uwsgi.ini'
        ini.write_text(UWSGI.format(port=self.port, workers=self._workers))
        env = {'OS_GLANCE_CONFIG_DIR': str(self._conf.parent)}
        return [str(self._bin / 'uwsgi'), '--ini', str(ini)], env
