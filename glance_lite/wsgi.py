# SPDX-License-Identifier: Apache-2.0
"""The application for gunicorn, uWSGI and mod_wsgi: ``glance_lite.wsgi:application``.

Configuration comes from ``OS_GLANCE_CONFIG_DIR`` (else ``/etc/glance-lite``), or from the files
that ``OS_GLANCE_CONFIG_FILES`` names, separated by colons. Built at the first request of each
process: a database connection must not be carried over a fork. No signal is handled here: these
servers reload by starting new workers, which read the files anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from oslo_config import cfg

from glance_lite.conf import opts

DEFAULT_DIRECTORY = '/etc/glance-lite'


def config_files(environ: dict[str, str]) -> list[str]:
    """Return the configuration files to read, as the environment says."""
    named = environ.get('OS_GLANCE_CONFIG_FILES')
    if named:
        return [path for path in named.split(':') if path]
    directory = environ.get('OS_GLANCE_CONFIG_DIR') or DEFAULT_DIRECTORY
    paths = [os.path.join(directory, name) for name in (opts.API_CONF, opts.IMPORT_CONF)]
    return [path for path in paths if os.path.exists(path)]


class LazyApplication:
    """Builds the application once in each process, when it is first called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[int, Callable[..., Iterable[bytes]]] = {}

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        app = self._built.get(os.getpid()) or self._build()
        return app(environ, start_response)

    def _build(self) -> Callable[..., Iterable[bytes]]:
        with self._lock:
            app = self._built.get(os.getpid())
            if app is None:
                app = _load()
                self._built = {os.getpid(): app}
            return app


def _load() -> Callable[..., Iterable[bytes]]:
    # read here, so that importing this module stays cheap for servers that fork
    from oslo_log import log

    from glance_lite import configuration, deploy

    conf = cfg.CONF  # where plugins written for Glance register their options
    configuration.load(conf, files=config_files(dict(os.environ)))
    log.setup(conf, 'glance-lite')
    app = deploy.loadapp(conf)
    configuration.warn_of_unknown(conf)
    return app


def check() -> None:
    """Raise now, not at the first request, when a plugin or an option cannot work.

    It touches no database, as the server may fork after it.

    :raises ConfigError: naming the plugin or the option.
    """
    from glance_lite import configuration
    from glance_lite.plugin import loader

    conf = cfg.ConfigOpts()
    configuration.load(conf, files=config_files(dict(os.environ)))
    loader.load_plugins(conf)


application = LazyApplication()
if config_files(dict(os.environ)):
    check()
