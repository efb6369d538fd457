# SPDX-License-Identifier: Apache-2.0
"""Connections and transactions, the same on SQLite, PostgreSQL and MariaDB.

Schema and queries are elsewhere in this room.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_db import options as db_options
from oslo_db.sqlalchemy import engines, exc_filters
from sqlalchemy.ext import compiler

from glance_lite import exceptions

#: What a function of this room takes first: a connection with an open transaction.
Session = sa.Connection

_T = TypeVar('_T')

#: How often a transaction is tried that loses deadlocks.
DEADLOCK_ATTEMPTS = 8
#: Seconds that a SQLite writer waits for another before it gives up.
SQLITE_BUSY_SECONDS = 30


class now_ms(sa.sql.functions.GenericFunction[int]):
    """Milliseconds since 1970 by the database's clock: leases of many hosts compare."""

    type = sa.BigInteger()
    inherit_cache = True


@compiler.compiles(now_ms, 'sqlite')
def _now_sqlite(element: Any, comp: Any, **kw: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiler.compiles(now_ms, 'postgresql')
def _now_postgresql(element: Any, comp: Any, **kw: Any) -> str:
    return 'CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)'


@compiler.compiles(now_ms, 'mysql')
@compiler.compiles(now_ms, 'mariadb')
def _now_mysql(element: Any, comp: Any, **kw: Any) -> str:
    return 'CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)'


def utcnow() -> datetime.datetime:
    """Return the time in UTC without a zone, as the tables keep it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def current_ms(session: Session) -> int:
    """Return the milliseconds since 1970 by the database's clock."""
    return session.scalar(sa.select(now_ms())) or 0


class Database:
    """One database and its connection pool. Threads may share it; processes may not."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        #: The same pool, whose transactions take SQLite's write lock when they begin.
        self.write_engine = engine.execution_options(begin_immediate=True)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Database:
        """Open the database that ``[database] connection`` names.

        :raises ConfigError: a server cannot be reached, or refuses.
        """
        group = conf.database
        if sa.make_url(group.connection).get_backend_name() == 'sqlite':
            return cls(_sqlite_engine(group.connection))
        try:
            engine = engines.create_engine(
                group.connection,
                max_pool_size=group.max_pool_size,
                max_overflow=group.max_overflow,
                pool_timeout=group.pool_timeout,
                connection_recycle_time=group.connection_recycle_time,
                max_retries=group.max_retries,
                retry_interval=group.retry_interval,
                mysql_sql_mode=group.mysql_sql_mode,
            )
        except db_exception.DBError as error:
            raise unusable(error) from error
        if engine.dialect.name in ('mysql', 'mariadb'):
            sa.event.listen(engine, 'connect', _read_committed)
            engine.dispose()  # connections made before are not set so
        return cls(engine)

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file of this host, which the service looks after itself."""
        return self.engine.dialect.name == 'sqlite'

    @contextlib.contextmanager
    def reader(self) -> Iterator[Session]:
        """Open a transaction that only reads."""
        with self.engine.connect() as session:
            yield session

    @contextlib.contextmanager
    def writer(self) -> Iterator[Session]:
        """Open a transaction; commit at the end of the block, roll back if it raises."""
        with self.write_engine.begin() as session:
            yield session

    def transact(self, work: Callable[[Session], _T]) -> _T:
        """Return ``work(session)`` of a writing transaction, begun again if it lost a deadlock.

        ``work`` may therefore run several times and must change nothing outside the session.
        """
        for attempt in itertools.count(1):
            try:
                with self.writer() as session:
                    return work(session)
            except db_exception.DBDeadlock:
                if attempt == DEADLOCK_ATTEMPTS:
                    raise
                time.sleep(random.uniform(0.005, 0.02) * 2**attempt)
        raise AssertionError('unreachable')

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def unusable(error: db_exception.DBError) -> exceptions.ConfigError:
    """Return the error of a start without its database: what the driver said, and no URL."""
    cause: BaseException = error
    while True:
        inner = getattr(cause, 'inner_exception', None) or getattr(cause, 'orig', None)
        if not isinstance(inner, BaseException) or inner is cause:
            break
        cause = inner
    said = ' '.join(str(cause).split())
    return exceptions.ConfigError(f'The database of [database] connection cannot be used: {said}')


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[database]`` on ``conf``, with an embedded default."""
    conf.register_opts(db_options.database_opts, 'database')
    conf.set_default(
        'connection', 'sqlite:////var/lib/glance-lite/glance-lite.sqlite', group='database'
    )
    conf.set_default('max_retries', 10, group='database')


def _read_committed(connection: Any, record: Any) -> None:
    """Lock the rows that are there and no gaps between them, as PostgreSQL does."""
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')


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
    options: dict[str, Any] = {'connect_args': {'timeout': SQLITE_BUSY_SECONDS}}
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
