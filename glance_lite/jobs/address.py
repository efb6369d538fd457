# SPDX-License-Identifier: Apache-2.0
"""Where the job board is: ``[conductor] board_url`` checked and turned into TaskFlow's settings.

Nothing is connected to here, and TaskFlow is not imported.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
from collections.abc import Callable
from typing import Any
from urllib import parse

from oslo_config import cfg
from oslo_utils import strutils

from glance_lite import exceptions

#: Kind of board -> the module that its TaskFlow driver needs; the extra is named as the kind.
_MODULES = {'redis': 'redis', 'etcd': 'etcd3gw', 'zookeeper': 'kazoo'}
_PORTS = {'redis': 6379, 'etcd': 2379, 'zookeeper': 2181}

#: Seconds that one answer of a board may take, where the operator says nothing.
TIMEOUT_SECONDS = 2.0


def _boolean(value: str) -> bool:
    return bool(strutils.bool_from_string(value, strict=True))


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 < number < 3600:
        raise ValueError(value)
    return number


#: What may stand in the query of the URL: TaskFlow's names, and how their values are read.
_SETTINGS: dict[str, dict[str, Callable[[str], Any]]] = {
    'redis': {
        'namespace': str,
        'unix_socket_path': str,
        'sentinel': str,
        'sentinel_fallbacks': str,
        'socket_timeout': _seconds,
        'socket_connect_timeout': _seconds,
        'health_check_interval': int,
        'ssl': _boolean,
        'ssl_keyfile': str,
        'ssl_certfile': str,
        'ssl_cert_reqs': str,
        'ssl_ca_certs': str,
    },
    'etcd': {
        'protocol': str,
        'ca_cert': str,
        'cert_key': str,
        'cert_cert': str,
        'timeout': _seconds,
        'api_path': str,
    },
    'zookeeper': {
        'timeout': _seconds,
        'randomize_hosts': _boolean,
        'use_ssl': _boolean,
        'keyfile': str,
        'keyfile_password': str,
        'certfile': str,
        'verify_certs': _boolean,
    },
}


@dataclasses.dataclass(frozen=True)
class BoardAddress:
    """One board: its kind, its servers as they may be logged, and TaskFlow's settings for it."""

    kind: str
    servers: str
    settings: dict[str, Any] = dataclasses.field(repr=False)

    def __str__(self) -> str:
        return f'{self.kind} at {self.servers}'

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> BoardAddress | None:
        """Return the configured board, or None if the database is the board.

        :raises ConfigError: the URL cannot be used, or the client library is not installed.
        """
        kind, url = conf.conductor.job_board, conf.conductor.board_url
        if kind == 'sql':
            if url:
                raise _wrong('is set, but job_board is sql, which has no URL')
            return None
        if importlib.util.find_spec(_MODULES[kind]) is None:
            raise exceptions.ConfigError(
                f'[conductor] job_board = {kind} needs the Python package {_MODULES[kind]}. '
                f"Install it with: pip install 'glance_lite[{kind}]'"
            )
        return parse_url(kind, url or f'{kind}://127.0.0.1')


def parse_url(kind: str, url: str) -> BoardAddress:
    """Read ``kind://[user[:password]@]host[:port][/path][?setting=value]``.

    The path is the number of the database for Redis, the folder of the jobs for the others.
    ZooKeeper takes several hosts, separated by commas.

    :raises ConfigError: it is malformed; the message does not repeat what could be a password.
    """
    try:
        parts = parse.urlsplit(url)
    except ValueError:
        raise _wrong('is not a URL') from None
    if parts.scheme != kind:
        raise _wrong(f'must begin with {kind}://, as job_board = {kind}')
    login, _, hosts = parts.netloc.rpartition('@')
    servers = [_server(text, _PORTS[kind]) for text in hosts.split(',')]
    settings = _read_query(kind, parts.query)
    build = {'redis': _redis, 'etcd': _etcd, 'zookeeper': _zookeeper}[kind]
    if login and kind != 'redis':
        raise _wrong(f'may not name a user: TaskFlow has none for {kind}')
    if len(servers) > 1 and kind != 'zookeeper':
        raise _wrong(f'must name one host for {kind}')
    settings |= build(servers, login, parts.path.strip('/'), settings)
    shown = ','.join(f'{host}:{port}' for host, port in servers)
    return BoardAddress(kind, str(settings.get('unix_socket_path', shown)), settings)


def _server(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = parse.urlsplit(f'//{text}')
        port = parts.port
    except ValueError:
        raise _wrong('has a host or port that cannot be read') from None
    return parts.hostname or '127.0.0.1', port or default_port


def _read_query(kind: str, query: str) -> dict[str, Any]:
    known, found = _SETTINGS[kind], {}
    for name, value in parse.parse_qsl(query, keep_blank_values=True):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f' Did you mean {close[0]}?' if close else ''
            raise _wrong(f'has the unknown setting {name!r}.{hint}')
        try:
            found[name] = known[name](value)
        except ValueError:
            raise _wrong(f'has a value for {name} that cannot be used') from None
    return found


def _redis(
    servers: list[tuple[str, int]], login: str, path: str, given: dict[str, Any]
) -> dict[str, Any]:
    if path and not path.isdecimal():
        raise _wrong('must have the number of a database, or nothing, as its path')
    host, port = servers[0]
    user, _, password = login.partition(':')
    settings = {
        'host': host,
        'port': port,
        'db': int(path or 0),
        'namespace': given.get('namespace', 'glance-lite'),
        'socket_timeout': given.get('socket_timeout', TIMEOUT_SECONDS),
        'socket_connect_timeout': given.get('socket_connect_timeout', TIMEOUT_SECONDS),
    }
    if 'sentinel_fallbacks' in given:
        settings['sentinel_fallbacks'] = given['sentinel_fallbacks'].split(',')
    if user:
        settings['username'] = parse.unquote(user)
    if password:
        settings['password'] = parse.unquote(password)
    return settings


def _etcd(
    servers: list[tuple[str, int]], login: str, path: str, given: dict[str, Any]
) -> dict[str, Any]:
    host, port = servers[0]
    return {
        'host': host,
        'port': port,
        'path': path or 'glance-lite',
        'timeout': given.get('timeout', TIMEOUT_SECONDS),
    }


def _zookeeper(
    servers: list[tuple[str, int]], login: str, path: str, given: dict[str, Any]
) -> dict[str, Any]:
    return {
        'hosts': ','.join(f'{host}:{port}' for host, port in servers),
        'path': '/' + (path or 'glance-lite/jobs'),
        # Debian's server reports a version that kazoo cannot read
        'check_compatible': False,
    }


def _wrong(reason: str) -> exceptions.ConfigError:
    return exceptions.ConfigError(f'[conductor] board_url {reason}')
