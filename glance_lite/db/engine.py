# SPDX-License-Identifier: Apache-2.0
"""Transactions, the same on SQLite, PostgreSQL and MariaDB, and what they do in times of trouble.

How connections are made, schema and queries are elsewhere in this room.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_db import options as db_options
from sqlalchemy.ext import compiler

from glance_lite.db import connecting, trouble
from glance_lite.db.trouble import Trouble

#: What a function of this room takes first: a connection with an open transaction.
Session = sa.Connection

_T = TypeVar('_T')

#: Seconds that a transaction waits for a database that is away, or that prefers others.
PATIENCE_SECONDS = 8.0
#: Threads that may wait so at once: the others must still be able to say that the service lives.
MOST_WAITING = 16
#: How often a transaction is tried that loses deadlocks.
MOST_ATTEMPTS = 10
#: How often something is read under which the connection breaks.
READ_ATTEMPTS = 3


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


class utc_in(sa.sql.functions.GenericFunction[datetime.datetime]):
    """The time in so many seconds by the database's clock, in UTC as the tables keep it."""

    type = sa.DateTime()
    inherit_cache = True


@compiler.compiles(utc_in, 'sqlite')
def _utc_sqlite(element: Any, comp: Any, **kw: Any) -> str:
    seconds = comp.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds') || '000')"


@compiler.compiles(utc_in, 'postgresql')
def _utc_postgresql(element: Any, comp: Any, **kw: Any) -> str:
    seconds = comp.process(element.clauses, **kw)
    return f"((clock_timestamp() AT TIME ZONE 'UTC') + ({seconds}) * interval '1 second')"


@compiler.compiles(utc_in, 'mysql')
@compiler.compiles(utc_in, 'mariadb')
def _utc_mysql(element: Any, comp: Any, **kw: Any) -> str:
    seconds = comp.process(element.clauses, **kw)
    return f'(UTC_TIMESTAMP(6) + INTERVAL ({seconds}) SECOND)'


def utcnow() -> datetime.datetime:
    """Return the time in UTC without a zone, as the tables keep it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def current_ms(session: Session) -> int:
    """Return the milliseconds since 1970 by the database's clock."""
    return session.scalar(sa.select(now_ms())) or 0


class Database:
    """One database and its connection pool. Threads may share it; processes may not.

    A database that is away is waited for, for some seconds, before a transaction begins: its
    restart costs a pause. What breaks later is raised, but :meth:`transact` begins again.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        #: The same pool, each of whose statements is a transaction: with nothing to begin or end,
        #: reading takes one question to the server in place of two or three.
        self.read_engine = connecting.reading(engine)
        #: The same pool, whose transactions take SQLite's write lock when they begin.
        self.write_engine = engine.execution_options(begin_immediate=True)
        self._waiters = threading.BoundedSemaphore(MOST_WAITING)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Database:
        """Open the database that ``[database] connection`` names.

        :raises ConfigError: a server cannot be reached, or refuses.
        """
        return cls(connecting.make_engine(conf.database))

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file of this host, which the service looks after itself."""
        return self.engine.dialect.name == 'sqlite'

    @contextlib.contextmanager
    def reader(self) -> Iterator[Session]:
        """Read. On SQLite all statements see one state; on servers each sees what is committed."""
        with _leaving(self._connect(self.read_engine, PATIENCE_SECONDS)) as session:
            yield session

    def read(self, work: Callable[[Session], _T]) -> _T:
        """Return ``work(session)`` of a reading transaction, begun again if its connection breaks.

        ``work`` may therefore run several times.
        """
        for attempt in itertools.count(1):
            session = self._connect(self.read_engine, PATIENCE_SECONDS)
            try:
                with _leaving(session):
                    return work(session)
            except Exception as error:
                if trouble.trouble_of(error) is not Trouble.AWAY or attempt == READ_ATTEMPTS:
                    raise
        raise AssertionError('unreachable')

    @contextlib.contextmanager
    def writer(self) -> Iterator[Session]:
        """Open a transaction; commit at the end of the block, roll back if it raises."""
        with self._connect(self.write_engine, PATIENCE_SECONDS) as session, session.begin():
            yield session

    def transact(
        self,
        work: Callable[[Session], _T],
        *,
        done: Callable[[Session], bool] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> _T:
        """Return ``work(session)`` of a writing transaction, begun again after trouble.

        ``work`` may therefore run several times and must change nothing outside the session.

        :param done: tells whether the work was committed; asked when the answer was lost.
        :param patience: seconds that trouble may last.
        :raises CommitUnknown: the answer to the commit was lost, and there is no ``done``.
        """
        began = time.monotonic()
        for attempt in itertools.count(1):
            sent = False
            session = self._connect(self.write_engine, patience)
            try:
                with session, session.begin():
                    result = work(session)
                    sent = True
                return result
            except Exception as error:
                kind = trouble.trouble_of(error)
                failed = error
            lost = sent and isinstance(failed, db_exception.DBConnectionError)
            if lost and self._is_done(done, failed, patience):
                return result
            if (
                kind not in (Trouble.AWAY, Trouble.BUSY)
                or attempt == MOST_ATTEMPTS
                or time.monotonic() - began > patience
            ):
                raise failed
            time.sleep(random.uniform(0.005, 0.02) * 2 ** min(attempt, 8))
        raise AssertionError('unreachable')

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()

    def _is_done(
        self, done: Callable[[Session], bool] | None, failed: Exception, patience: float
    ) -> bool:
        """Look whether a commit took place whose answer was lost."""
        if done is None:
            raise trouble.CommitUnknown(failed) from failed
        try:
            with _leaving(self._connect(self.read_engine, patience)) as session:
                return done(session)
        except (sa.exc.SQLAlchemyError, db_exception.DBError) as error:
            raise trouble.CommitUnknown(error) from failed

    def _connect(self, engine: sa.Engine, patience: float) -> sa.Connection:
        """Return a connection, waiting for a database that is away."""
        try:
            return engine.connect()
        except Exception as error:
            if trouble.trouble_of(error) is None or isinstance(error, sa.exc.TimeoutError):
                raise
            # those with much patience hold what cannot be got again
            limited = patience <= PATIENCE_SECONDS
            if limited and not self._waiters.acquire(blocking=False):
                raise
        try:
            return _wait_for(engine, patience)
        finally:
            if limited:
                self._waiters.release()


def is_outage(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, means that the database is away, busy or full.

    The same work may then succeed later; a fault of the work itself would be the same again.
    """
    return trouble.trouble_of(error) is not None


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[database]`` on ``conf``, with an embedded default."""
    conf.register_opts(db_options.database_opts, 'database')
    conf.set_default(
        'connection', 'sqlite:////var/lib/glance-lite/glance-lite.sqlite', group='database'
    )
    conf.set_default('max_retries', 10, group='database')
    # to open a connection costs more than a request: keep those that a busy process uses, and let
    # what needs more than that wait. Five processes get along with PostgreSQL's own default.
    conf.set_default('max_pool_size', 16, group='database')
    conf.set_default('max_overflow', 4, group='database')


@contextlib.contextmanager
def _leaving(session: sa.Connection) -> Iterator[Session]:
    """Close a session that wrote nothing: that its connection breaks at the end does no harm."""
    try:
        yield session
    finally:
        with contextlib.suppress(sa.exc.SQLAlchemyError, db_exception.DBError):
            session.close()


def _wait_for(engine: sa.Engine, patience: float) -> sa.Connection:
    until = time.monotonic() + patience
    for attempt in itertools.count():
        time.sleep(random.uniform(0.5, 1.0) * min(1.0, 0.05 * 2**attempt))
        try:
            return engine.connect()
        except Exception as error:
            if trouble.trouble_of(error) is None or time.monotonic() > until:
                raise
    raise AssertionError('unreachable')
