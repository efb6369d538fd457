# SPDX-License-Identifier: Apache-2.0
"""What a process counts for Prometheus: requests, and how imports ended. Off, it costs nothing.

Each process writes into files of its own in one directory of the host; ``exporting.py`` sums them
up. Values of labels are names of the configuration, routes, methods and codes, never what users
send: there is no end to that.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from glance_lite import exceptions

#: Where prometheus_client finds the directory; it looks when it is imported, and never again.
DIRECTORY_VARIABLE = 'PROMETHEUS_MULTIPROC_DIR'
#: Paths beside the route table that have a label of their own.
FIXED_PATHS = frozenset({'/', '/versions', '/healthcheck'})
OTHER = 'other'
METHODS = frozenset({'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'})

#: Upper limits in seconds, for requests and for what imports do.
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
IMPORT_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600)

_PLUGIN_PHASE = 'run-plugin:'
_FILE = re.compile(r'[a-z_]+_(\d+)\.db')


class Meter:
    """Counts nothing: what a service has unless ``[metrics] bind_port`` is set."""

    def request(
        self, method: str, route: str | None, path: str, status: str, seconds: float
    ) -> None:
        """Count an answered request; ``route`` is the template, None for a path without one."""

    def import_ended(
        self, method: str, error_code: str | None, seconds: float, phases: Sequence[dict[str, Any]]
    ) -> None:
        """Count an import that ended, well if there is no code, with what its last attempt did."""


class PrometheusMeter(Meter):
    """Counts with prometheus_client. May be used by many threads at once."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        common: dict[str, Any] = {'registry': self.registry}
        self._requests = Histogram(
            'glance_lite_http_request_duration_seconds',
            'Seconds until the answer to a request began.',
            ['method', 'route'],
            buckets=REQUEST_SECONDS,
            **common,
        )
        self._answers = Counter(
            'glance_lite_http_requests_total',
            'Requests by the status of the answer.',
            ['method', 'route', 'status'],
            **common,
        )
        self._imports = Counter(
            'glance_lite_imports_total',
            'Imports that ended, by outcome (success, failure) and error code.',
            ['method', 'outcome', 'code'],
            **common,
        )
        self._durations = Histogram(
            'glance_lite_import_duration_seconds',
            'Seconds from the request for an import to its end.',
            ['method', 'outcome'],
            buckets=IMPORT_SECONDS,
            **common,
        )
        self._phases = Histogram(
            'glance_lite_import_phase_duration_seconds',
            'Seconds of each phase of the last attempt of imports.',
            ['phase'],
            buckets=IMPORT_SECONDS,
            **common,
        )
        self._plugins = Histogram(
            'glance_lite_import_plugin_duration_seconds',
            'Seconds that each import plugin took.',
            ['plugin'],
            buckets=IMPORT_SECONDS,
            **common,
        )
        self._bytes = Counter(
            'glance_lite_import_phase_bytes_total',
            'Bytes that each phase of imports moved.',
            ['phase'],
            **common,
        )

    def request(
        self, method: str, route: str | None, path: str, status: str, seconds: float
    ) -> None:
        """Count an answered request."""
        method = method if method in METHODS else OTHER
        route = route or (path if path in FIXED_PATHS else OTHER)
        self._requests.labels(method, route).observe(seconds)
        self._answers.labels(method, route, status).inc()

    def import_ended(
        self, method: str, error_code: str | None, seconds: float, phases: Sequence[dict[str, Any]]
    ) -> None:
        """Count an import that ended."""
        outcome = 'failure' if error_code else 'success'
        self._imports.labels(method, outcome, error_code or '').inc()
        self._durations.labels(method, outcome).observe(max(0.0, seconds))
        for each in phases:
            phase: str = each['phase']
            if phase.startswith(_PLUGIN_PHASE):
                self._plugins.labels(phase[len(_PLUGIN_PHASE) :]).observe(each['seconds'])
                continue
            self._phases.labels(phase).observe(each['seconds'])
            self._bytes.labels(phase).inc(each['bytes_done'])


def meter_for(conf: cfg.ConfigOpts) -> Meter:
    """Return what counts in this process.

    :raises ConfigError: the directory cannot be used.
    """
    if conf.metrics.bind_port is None:
        return Meter()
    if conf.metrics.directory:
        choose_directory(conf.metrics.directory)
    return PrometheusMeter()


def choose_directory(path: str) -> None:
    """Let this process, and those that it starts, count in a directory.

    :raises ConfigError: it cannot be written to.
    """
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
    except OSError as error:
        raise exceptions.ConfigError(
            f'[metrics] directory: {path} cannot be made: {error.strerror}.'
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise exceptions.ConfigError(f'[metrics] directory: {path} is not writable for this user.')
    os.environ[DIRECTORY_VARIABLE] = path


def forget_dead(directory: str) -> None:
    """Remove what processes counted that do not live any more. For the start of a program."""
    for name in os.listdir(directory):
        match = _FILE.fullmatch(name)
        if match and not os.path.exists(f'/proc/{match[1]}'):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(directory, name))
