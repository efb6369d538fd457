# SPDX-License-Identifier: Apache-2.0
"""Offer to Prometheus what the processes of a host counted, and how the service stands.

On a port of its own, in a process or thread of its own: a scrape never takes a thread of the API.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref import simple_server

from oslo_config import cfg
from oslo_log import log

from glance_lite import exceptions, metrics
from glance_lite.db import figures
from glance_lite.db.engine import Database
from glance_lite.stores.staging import StagingArea

LOG = log.getLogger(__name__)

PATH = '/metrics'
#: Seconds that a scraper may take to ask.
_TIMEOUT_SECONDS = 10

_HELP = {
    'glance_lite_imports_waiting': 'Imports that no conductor runs yet.',
    'glance_lite_imports_running': 'Imports that a conductor runs.',
    'glance_lite_import_oldest_waiting_seconds': 'Since when the oldest of those that wait waits.',
    'glance_lite_import_oldest_running_seconds': 'Since when the oldest that runs was asked for.',
    'glance_lite_import_oldest_lock_seconds': 'For how long an import holds its image at most.',
    'glance_lite_conductors': 'Conductors that gave a sign of life lately.',
    'glance_lite_removals_pending': 'Stored data that waits to be removed.',
    'glance_lite_staged_images': 'Images whose data is staged.',
    'glance_lite_uploads_running': 'Uploads and stagings that are coming in.',
}


class Exporter:
    """The port and the directory of a program; nothing where ``[metrics] bind_port`` is unset."""

    def __init__(self, listener: socket.socket | None, temporary: str | None) -> None:
        self.listener = listener
        self._temporary = temporary

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Exporter:
        """Bind the port, and choose where processes count that this one starts.

        Before prometheus_client is imported, and before the first fork. Where a directory is
        shared and another program has the port, that one offers what this one counts.

        :raises ConfigError: the port or the directory cannot be used.
        """
        options = conf.metrics
        if options.bind_port is None:
            return cls(None, None)
        temporary = None if options.directory else tempfile.mkdtemp(prefix='glance-lite-metrics-')
        metrics.choose_directory(options.directory or temporary)
        try:
            family = socket.AF_INET6 if ':' in options.bind_host else socket.AF_INET
            address = (options.bind_host, options.bind_port)
            listener = socket.create_server(address, family=family)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and options.directory:
                LOG.info('Another program offers the figures of this host')
                return cls(None, None)
            raise exceptions.ConfigError(
                f'[metrics]: cannot listen on {options.bind_host}:{options.bind_port}: '
                f'{error.strerror or error}.'
            ) from error
        metrics.forget_dead(os.environ[metrics.DIRECTORY_VARIABLE])
        return cls(listener, temporary)

    def serve(self, conf: cfg.ConfigOpts, wait: Callable[[], object]) -> None:
        """Answer scrapes until ``wait`` returns."""
        if self.listener is None:
            return
        app = application(Database.from_conf(conf), StagingArea.from_conf(conf))
        server = _Server(self.listener, app)
        thread = threading.Thread(target=server.serve_forever, name='metrics', daemon=True)
        thread.start()
        host, port = self.listener.getsockname()[:2]
        LOG.info('Figures for Prometheus are at http://%s:%d%s', host, port, PATH)
        wait()
        server.shutdown()

    def close(self) -> None:
        """Let go of the port, and of a directory that is of this program alone."""
        if self.listener is not None:
            self.listener.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def application(db: Database, staging: StagingArea) -> Callable[..., Any]:
    """Return the WSGI application of the port: one path, and nothing else."""
    import prometheus_client
    from prometheus_client import multiprocess

    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_State(db, staging))
    render = prometheus_client.make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ['PATH_INFO'] != PATH:
            start_response('404 Not Found', [('Content-Type', 'text/plain')])
            return [f'The figures are at {PATH}.\n'.encode()]
        return render(environ, start_response)

    return app


class _State:
    """Asks the database and the staging area when Prometheus does."""

    def __init__(self, db: Database, staging: StagingArea) -> None:
        self._db = db
        self._staging = staging

    def describe(self) -> list[Any]:
        """Tell nothing beforehand, so that registering does not ask the database."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield what can be found out; a database that is away is itself a figure."""
        from prometheus_client.core import GaugeMetricFamily

        found: figures.Figures | None = None
        try:
            found = self._db.read(figures.read)
        except Exception as error:
            LOG.warning('The figures of the database cannot be read: %s', error)
        up = 'Whether the database answered.'
        yield GaugeMetricFamily('glance_lite_database_up', up, value=float(found is not None))
        if found is not None:
            values = (
                found.waiting,
                found.running,
                found.oldest_waiting_seconds,
                found.oldest_running_seconds,
                found.oldest_lock_seconds,
                found.conductors,
                found.removals,
                found.staged_images,
                found.receiving,
            )
            for (name, text), value in zip(_HELP.items(), values, strict=True):
                yield GaugeMetricFamily(name, text, value=value)
        with contextlib.suppress(OSError):
            used = GaugeMetricFamily(
                'glance_lite_staging_used_bytes', 'Bytes of the staged files of this host.'
            )
            used.add_metric([], sum(file.size for file in self._staging.look()))
            yield used
            space = os.statvfs(self._staging.directory)
            free = GaugeMetricFamily(
                'glance_lite_staging_free_bytes', 'Bytes free on the disk of the staging area.'
            )
            free.add_metric([], space.f_bavail * space.f_frsize)
            yield free


class _Handler(simple_server.WSGIRequestHandler):
    timeout = _TIMEOUT_SECONDS

    def log_message(self, *args: object) -> None:
        """Say nothing of scrapes."""


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Serves on a socket that is bound already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, app: Callable[..., Any]) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.address_family = listener.family
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self.set_app(app)
