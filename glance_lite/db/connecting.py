# SPDX-License-Identifier: Apache-2.0
"""How connections to the database are made and kept, for each kind of it.

Transactions are in ``engine.py``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import select
import socket
import time
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import exc_filters
from oslo_log import log

from glance_lite import exceptions
from glance_lite.db import trouble

LOG = log.getLogger(__name__)

#: Seconds that a SQLite writer waits for another before it gives up.
SQLITE_BUSY_SECONDS = 30
#: Seconds that a server may take to accept a connection.
CONNECT_SECONDS = 10
#: Seconds after which a connection breaks whose other end says nothing at all.
SILENT_SECONDS = 30
#: Seconds after which a server ends a transaction whose process says nothing.
IDLE_SECONDS = 5
#: SERVER_STATUS_IN_TRANS of the protocol of MariaDB and MySQL.
_IN_TRANSACTION = 1


def make_engine(group: Any) -> sa.Engine:
    """Return the engine that the options of ``[database]`` describe, with a connection tried.

    :raises ConfigError: a server cannot be reached, or refuses.
    """
    if sa.make_url(group.connection).get_backend_name() == 'sqlite':
        return _sqlite_engine(group.connection)
    return _server_engine(group)


def reading(engine: sa.Engine) -> sa.Engine:
    """Return an engine on the same pool whose connections only read."""
    if engine.dialect.name == 'postgresql':
        return engine.execution_options(isolation_level='AUTOCOMMIT')
    return engine.execution_options(only_reads=True)


def unusable(error: Exception) -> exceptions.ConfigError:
    """Return the error of a start without its database: what the driver said, and no URL."""
    return exceptions.ConfigError(
        f'The database of [database] connection cannot be used: {trouble.said(error)}'
    )


def _server_engine(group: Any) -> sa.Engine:
    url = sa.make_url(group.connection)
    options: dict[str, Any] = {'pool_recycle': group.connection_recycle_time}
    for name, value in (
        ('pool_size', group.max_pool_size),
        ('max_overflow', group.max_overflow),
        ('pool_timeout', group.pool_timeout),
    ):
        if value is not None:
            options[name] = value
    if url.get_backend_name() == 'postgresql':
        options['client_encoding'] = 'utf8'
    if 'connect_timeout' not in url.query:
        options['connect_args'] = {'connect_timeout': CONNECT_SECONDS}
    engine = sa.create_engine(url, **options)
    exc_filters.register_engine(engine)
    if engine.dialect.driver == 'pymysql':
        _use_own_connections(engine)
        sa.event.listen(engine, 'begin', _begin)
    sa.event.listen(engine, 'connect', _notice_silence)
    if engine.dialect.name in ('mysql', 'mariadb'):
        sa.event.listen(engine, 'connect', functools.partial(_set_session, group.mysql_sql_mode))
    sa.event.listen(engine, 'connect', _limit_idle_transactions)
    sa.event.listen(engine, 'checkout', _refuse_ended)
    if group.max_retries:
        _try_first(engine, group.max_retries, group.retry_interval)
    return engine


def _try_first(engine: sa.Engine, tries: int, pause_seconds: float) -> None:
    """Connect once, so that a start without a database fails; -1 tries for ever."""
    for attempt in itertools.count(1):
        try:
            engine.connect().close()
            return
        except (sa.exc.DBAPIError, db_exception.DBError) as error:
            if attempt == tries or not trouble.may_pass(error):
                raise unusable(error) from error
            LOG.warning('The database does not answer: %s', trouble.said(error))
        time.sleep(pause_seconds)


def _use_own_connections(engine: sa.Engine) -> None:
    """Let connections of PyMySQL do less.

    They begin no transaction by themselves (:func:`_begin` does), and end none that there is not.
    They share the certificates of the host, which PyMySQL would load for each that has no options
    for TLS, whether TLS is used or not: 20 ms of CPU, many times what all else takes.
    """

    driver: Any = engine.dialect.dbapi

    class Connection(driver.connections.Connection):
        shared: Any = None

        def rollback(self) -> None:
            if self.server_status & _IN_TRANSACTION:
                super().rollback()

        def _create_ssl_ctx(self, options: Any) -> Any:
            if options:
                return super()._create_ssl_ctx(options)
            if Connection.shared is None:
                Connection.shared = super()._create_ssl_ctx(options)
            return Connection.shared

    @sa.event.listens_for(engine, 'do_connect')
    def _connect(dialect: Any, record: Any, args: Any, options: Any) -> Any:
        return Connection(*args, autocommit=True, **options)


def _begin(connection: sa.Connection) -> None:
    if not connection.get_execution_options().get('only_reads'):
        connection.exec_driver_sql('BEGIN')


def _set_session(sql_mode: str | None, connection: Any, record: Any) -> None:
    with contextlib.closing(connection.cursor()) as cursor:
        if sql_mode is not None:
            cursor.execute('SET SESSION sql_mode = %s', [sql_mode])
        # lock the rows that are there and no gaps between them, as PostgreSQL does
        cursor.execute('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')


def _limit_idle_transactions(connection: Any, record: Any) -> None:
    """Let the server end a transaction whose process stands still, for its locks stop the others.

    MySQL has no such limit.
    """
    with contextlib.closing(connection.cursor()) as cursor:
        if hasattr(connection, 'server_version'):  # PyMySQL
            cursor.execute("SHOW VARIABLES LIKE 'idle\\_%transaction\\_timeout'")
            for name, _ in cursor.fetchall():
                cursor.execute(f'SET SESSION {name} = {IDLE_SECONDS}')
        else:
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
            connection.commit()  # else the end of the first transaction would take it back


def _notice_silence(connection: Any, record: Any) -> None:
    """Let a connection break whose other end is silent: its host may have lost its power."""
    with socket.socket(fileno=os.dup(socket_of(connection).fileno())) as ours:
        if ours.family == socket.AF_UNIX:
            return
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS // 2)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000)


def _refuse_ended(connection: Any, record: Any, proxy: Any) -> None:
    """Part with a pooled connection that the server has closed.

    Nothing comes on an idle connection but its end. To look costs no question to the server.
    """
    try:
        poll = select.poll()
        poll.register(socket_of(connection).fileno(), select.POLLIN)
        ended = bool(poll.poll(0))
    except Exception:  # closed on this side
        ended = True
    if ended:
        raise sa.exc.DisconnectionError


def socket_of(connection: Any) -> Any:
    """Return what has the descriptor of a driver's connection."""
    return getattr(connection, '_sock', connection)  # PyMySQL does not show it otherwise


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path or '.', mode=0o700, exist_ok=True)
    except OSError as error:
        raise exceptions.ConfigError(
            f'[database] connection: the directory {path} cannot be made: {error.strerror}.'
        ) from error


def _sqlite_engine(url: str) -> sa.Engine:
    path = sa.make_url(url).database
    memory = path in (None, '', ':memory:')
    if path and not memory:
        _make_directory(os.path.dirname(path))
    options: dict[str, Any] = {'connect_args': {}}
    if 'timeout' not in sa.make_url(url).query:
        options['connect_args']['timeout'] = SQLITE_BUSY_SECONDS
    if memory:
        options['poolclass'] = sa.StaticPool
        options['connect_args']['check_same_thread'] = False
    else:
        options['pool_size'] = 20
        options['max_overflow'] = 80
    engine = sa.create_engine(url, **options)

    @sa.event.listens_for(engine, 'connect')
    def _prepare(connection: Any, record: Any) -> None:
        # transactions are begun below, as the driver's own begin starts too late to lock
        connection.isolation_level = None
        for pragma in ('journal_mode=wal', 'synchronous=normal', 'foreign_keys=on'):
            connection.execute(f'PRAGMA {pragma}')

    @sa.event.listens_for(engine, 'begin')
    def _begin(connection: sa.Connection) -> None:
        # a writer that begins by reading would be refused, not queued, behind another writer
        immediate = connection.get_execution_options().get('begin_immediate')
        connection.exec_driver_sql('BEGIN IMMEDIATE' if immediate else 'BEGIN')

    exc_filters.register_engine(engine)
    return engine
