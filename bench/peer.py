# SPDX-License-Identifier: Apache-2.0
"""Set up and run the peer: Glance 33.0.0 from PyPI under uWSGI with 2 processes of 8 threads.

File store and staging lie on one file system, the database is MariaDB. Everything is made from
nothing in the folder given. What is measured does not belong here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import databases
import environments
from http_client import Client
from processes import ServiceProcesses, wait_until

REQUIREMENTS = ['glance==33.0.0', 'pyuwsgi', 'PyMySQL']
START_SECONDS = 60

API_CONF = """\
[DEFAULT]
log_file = {folder}/glance-api.log
enabled_backends = fast:file
worker_self_reference_url = http://127.0.0.1:{port}
node_staging_uri = file://{folder}/staging/
enabled_import_methods = [glance-direct,web-download]
[database]
connection = {database}
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {folder}/store
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[import_filtering_opts]
allowed_schemes = [http]
allowed_hosts = [127.0.0.1]
allowed_ports = [{source_port}]
[paste_deploy]
flavor =
config_file = {folder}/glance-api-paste.ini
"""

PASTE = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: api
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
default = http_proxy_to_wsgi versionnegotiation bench_token context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:bench_token]
paste.filter_factory = bench_token:filter_factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
"""

UWSGI = """\
[uwsgi]
http-socket = 127.0.0.1:{port}
module = glance.wsgi.api:application
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


class Peer:
    """Glance 33.0.0 in one folder; ``prepare`` once, then ``start`` and ``stop`` at will."""

    name = 'Glance 33.0.0'
    key = 'peer'
    token = 'bench:bench:admin,member,reader'

    def __init__(
        self, environment: Path, folder: Path, port: int, source_port: int, workers: int = 2
    ) -> None:
        self._environment = environment
        self._folder = folder
        self._workers = workers
        self._source_port = source_port
        self._database = 'glance_lite_bench_peer'
        self.port = port

    def client(self, timeout_seconds: float = 600) -> Client:
        """Return a client with this service's address and token."""
        return Client(self.port, self.token, timeout_seconds)

    def prepare(self) -> None:
        """Make environment, folders, conf files and an empty synced database."""
        self._bin = environments.make(self._environment, REQUIREMENTS)
        for name in ('staging', 'store', 'tasks', 'conf'):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        database = databases.make(self._bin / 'python', self._database)
        values = {
            'folder': self._folder,
            'port': self.port,
            'workers': self._workers,
            'source_port': self._source_port,
            'database': database,
        }
        conf = self._folder / 'conf' / 'glance-api.conf'
        conf.write_text(API_CONF.format(**values))
        (self._folder / 'glance-api-paste.ini').write_text(PASTE)
        (self._folder / 'uwsgi.ini').write_text(UWSGI.format(**values))
        with (self._folder / 'db-sync.log').open('wb') as log:
            command = [str(self._bin / 'glance-manage'), '--config-file', str(conf), 'db_sync']
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)

    def start(self) -> None:
        """Start the service and wait until it answers."""
        env = {
            'OS_GLANCE_CONFIG_DIR': str(self._folder / 'conf'),
            'PYTHONPATH': str(Path(__file__).with_name('peer_app')),
        }
        command = [str(self._bin / 'uwsgi'), '--ini', str(self._folder / 'uwsgi.ini')]
        self.processes = ServiceProcesses(command, self._folder / 'uwsgi.log', env)
        client = self.client(timeout_seconds=5)
        wait_until(client.answers, START_SECONDS, self.name, self.processes)
        client.close()

    def stop(self) -> None:
        """End the service's processes; data and database stay."""
        self.processes.stop()

    def remove(self) -> None:
        """Drop the database; the caller removes the folder."""
        databases.drop(self._bin / 'python', self._database)
