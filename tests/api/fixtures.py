# SPDX-License-Identifier: Apache-2.0
"""The services that the stories talk to: one for each file, with stores of its own.

``POST /run-imports`` runs the imports that were asked for, in this process. ``GABBI_SOURCE`` in the
environment is a web server with something to download.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gabbi import fixture
from oslo_config import cfg

from glance_lite import configuration, deploy
from glance_lite.services import Services
from glance_lite.unified_limits import UnifiedLimits
from tests import contract
from tests.api.callers import identify

DATA = b'what the source has' * 100
_current: dict[str, Any] = {}
#: Method and path of every request so far.
told: set[tuple[str, str]] = set()


def application() -> Callable[..., Iterable[bytes]]:
    """Return the application of the story that runs."""
    return _call


def _call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ['PATH_INFO'] == '/run-imports':
        _current['conductor'].run_pending()
        start_response('204 No Content', [])
        return []
    told.add((environ['REQUEST_METHOD'], environ['PATH_INFO']))
    return _current['app'](environ, start_response)


class Source(BaseHTTPRequestHandler):
    """Has data at ``/good``, promises too much at ``/short``, nothing elsewhere."""

    def do_GET(self) -> None:
        found = self.path in ('/good', '/short')
        body = DATA if found else b''
        self.send_response(200 if found else 404)
        self.send_header('Content-Length', str(len(body) + (self.path == '/short')))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        return None


class ServiceFixture(fixture.GabbiFixture):
    """A service with two file stores; subclasses add options."""

    extra = ''

    def start_fixture(self) -> None:
        """Build the service."""
        self._directory = Path(tempfile.mkdtemp(prefix='glance-lite-story-'))
        self._source = ThreadingHTTPServer(('127.0.0.1', 0), Source)
        threading.Thread(target=self._source.serve_forever, args=(0.01,), daemon=True).start()
        port = self._source.server_port
        os.environ['GABBI_SOURCE'] = f'http://127.0.0.1:{port}'
        conf = cfg.ConfigOpts()
        path = self._directory / 'glance-api.conf'
        path.write_text(
            f'[DEFAULT]\nenabled_backends = fast:file, cold:file\n{self.extra}'
            f'node_staging_uri = file://{self._directory}/staging\n'
            '[glance_store]\ndefault_backend = fast\n'
            f'[fast]\nfilesystem_store_datadir = {self._directory}/fast\n'
            f'[cold]\nfilesystem_store_datadir = {self._directory}/cold\n'
            f'[database]\nconnection = sqlite:///{self._directory}/db.sqlite\n'
            '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\n'
            f'allowed_ports = {port}\n[web_download]\nretries = 0\n'
        )
        configuration.load(conf, files=[str(path)])
        self._services: Services = deploy.build_services(conf)
        _current['app'] = contract.watch(deploy.loadapp(conf, self._services, identify))
        _current['conductor'] = deploy.load_conductor(conf, self._services)

    def stop_fixture(self) -> None:
        """Remove what the story left."""
        self._source.shutdown()
        self._source.server_close()
        self._services.db.dispose()
        shutil.rmtree(self._directory)
        _current.clear()


class LimitedFixture(ServiceFixture):
    """A service that limits what a project may have."""

    extra = 'user_storage_quota = 2MB\nproject_image_quota = 2\n'


class UnifiedLimitsFixture(ServiceFixture):
    """A service for which Keystone has the limits."""

    def start_fixture(self) -> None:
        """Stand for Keystone: each limit is 1."""
        super().start_fixture()
        self._services.unified_limits = UnifiedLimits(
            lambda project, names: dict.fromkeys(names, 1)
        )


class WithoutImportFixture(ServiceFixture):
    """A service that offers no import."""

    extra = 'enable_image_import = False\n'
