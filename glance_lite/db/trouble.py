# SPDX-License-Identifier: Apache-2.0
"""Tell trouble of the database from faults of the work, by the codes that its drivers give.

A database that is away, busy or full is nobody's fault, and the same work may succeed later. What
follows from that is decided elsewhere.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_db import exception as db_exception


class Trouble(enum.Enum):
    """Why a database did not do what was asked."""

    AWAY = 'away'
    BUSY = 'busy'
    FULL = 'full'


class CommitUnknown(db_exception.DBConnectionError):
    """The connection broke after the commit was sent: the work may have been done or not."""


def trouble_of(error: BaseException | None) -> Trouble | None:
    """Return what is the matter with the database; None if nothing is, or the work is at fault.

    The first error of the database among ``error`` and what caused it decides.
    """
    for each in _causes(error):
        if isinstance(each, sa.exc.TimeoutError):  # no connection of the pool became free
            return Trouble.BUSY
        if isinstance(each, sa.exc.PendingRollbackError):  # used again after it broke
            return Trouble.AWAY
        if isinstance(each, sa.exc.DBAPIError | db_exception.DBError):
            return _judge(each)
    return None


def may_pass(error: BaseException) -> bool:
    """Tell whether waiting helps: not against a wrong password, nor for a wrong name."""
    if trouble_of(error) is None:
        return False
    inner = _driver_error(error)
    code = inner.args[0] if inner.args else None
    return code not in _MYSQL_REFUSED and not any(
        words in str(inner) for words in _POSTGRESQL_REFUSED
    )


def said(error: BaseException) -> str:
    """Return what the driver said, on one line, without the statement and its values."""
    return ' '.join(str(_driver_error(error)).split())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # TaskFlow has an attribute for what its errors wrap
        error = error.__cause__ or getattr(error, 'cause', None) or error.__context__


def _driver_error(error: BaseException) -> BaseException:
    while True:
        inner = getattr(error, 'inner_exception', None) or getattr(error, 'orig', None)
        if not isinstance(inner, BaseException) or inner is error:
            return error
        error = inner


def _judge(error: BaseException) -> Trouble | None:
    inner = _driver_error(error)
    known = _by_code(inner)
    if known is not None:
        return known
    if isinstance(error, db_exception.DBConnectionError):
        return Trouble.AWAY
    if isinstance(error, db_exception.DBDeadlock):
        return Trouble.BUSY
    return None


def _by_code(error: BaseException) -> Trouble | None:
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, 'sqlite_errorcode', 0) & 0xFF)
    code = error.args[0] if error.args else None
    if not isinstance(code, int):
        return _by_sqlstate(error)
    text = str(error).lower()
    if code in _MYSQL_FULL or any(words in text for words in _MYSQL_NO_SPACE):
        return Trouble.FULL
    if code in _MYSQL_BUSY:
        return Trouble.BUSY
    return Trouble.AWAY if code in _MYSQL_AWAY else None


def _by_sqlstate(error: BaseException) -> Trouble | None:
    state = getattr(error, 'sqlstate', None)
    if state is None:
        # the server gives a state for everything but a connection that it does not make or keep
        return Trouble.AWAY if type(error).__name__ in _NO_CONNECTION else None
    if state == '53100':
        return Trouble.FULL
    if state.startswith(_POSTGRESQL_BUSY):
        return Trouble.BUSY
    return Trouble.AWAY if state.startswith(_POSTGRESQL_AWAY) else None


#: Primary result codes (https://www.sqlite.org/rescode.html).
_SQLITE = {
    sqlite3.SQLITE_BUSY: Trouble.BUSY,
    sqlite3.SQLITE_LOCKED: Trouble.BUSY,
    sqlite3.SQLITE_PROTOCOL: Trouble.BUSY,
    sqlite3.SQLITE_NOMEM: Trouble.BUSY,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    # a full disk looks so where a file is mapped into memory
    sqlite3.SQLITE_IOERR: Trouble.AWAY,
    sqlite3.SQLITE_CANTOPEN: Trouble.AWAY,
    sqlite3.SQLITE_READONLY: Trouble.AWAY,
}

#: Beginnings of states (PostgreSQL manual, appendix A): conflicts, resources, locks, cancelled.
_POSTGRESQL_BUSY = ('40001', '40P01', '53', '55P03', '57014')
#: Connections, a standby, idle for too long, conflicts unknown, the administrator, the system.
_POSTGRESQL_AWAY = ('08', '25006', '25P03', '25P04', '40003', '57P', '58')
#: Refusals of a connection have no state.
_POSTGRESQL_REFUSED = ('authentication failed', 'does not exist', 'no pg_hba.conf', 'no password')
_NO_CONNECTION = ('OperationalError', 'ConnectionTimeout', 'InterfaceError')

#: Codes of MariaDB and MySQL: table or disk full.
_MYSQL_FULL = frozenset({1021, 1114})
_MYSQL_NO_SPACE = ('no space left', 'errcode: 28', 'errno: 28', 'error 28')
#: Too many connections, memory, changed meanwhile, locks, deadlocks, limits, interrupted, too slow.
_MYSQL_BUSY = frozenset(
    {1020, 1037, 1038, 1040, 1041, 1203, 1205, 1206, 1213, 1226, 1317, 1637, 1969, 3024}
)
#: Of the client: no connection, or it broke. Of the server: none is made, it ends, it is read-only.
_MYSQL_AWAY = frozenset(
    {2002, 2003, 2005, 2006, 2012, 2013, 2014, 2026, 2045, 2055}
    | {1042, 1043, 1044, 1045, 1047, 1049, 1053, 1077, 1079, 1080, 1129, 1130, 1152, 1158}
    | {1159, 1160, 1161, 1184, 1290, 1698, 1792, 1836, 1927, 4031}
)
#: Of these, the refusals: wrong password, host, or name of the database.
_MYSQL_REFUSED = frozenset({1044, 1045, 1049, 1130, 1698})
