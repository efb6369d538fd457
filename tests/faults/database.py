# SPDX-License-Identifier: Apache-2.0
"""Trouble with the database, made from outside: connections closed, a write lock held."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa


def backend_of(connection: Any) -> int | None:
    """Return the server's number of a driver's connection; None for SQLite."""
    if hasattr(connection, 'thread_id'):
        return int(connection.thread_id())
    if hasattr(connection, 'info'):
        return int(connection.info.backend_pid)
    return None


def close_backends(url: sa.URL, numbers: Iterable[int] | None = None) -> int:
    """Let the server close these connections, or all to its database; return how many it did."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level='AUTOCOMMIT')
    wanted = None if numbers is None else set(numbers)
    count = 0
    with engine.connect() as connection:
        if url.get_backend_name() == 'postgresql':
            query = (
                'SELECT pid FROM pg_stat_activity '
                'WHERE datname = current_database() AND pid <> pg_backend_pid()'
            )
            close = 'SELECT pg_terminate_backend({})'
        else:
            query = (
                'SELECT id FROM information_schema.processlist '
                'WHERE db = database() AND id <> connection_id()'
            )
            close = 'KILL CONNECTION {}'
        for (number,) in connection.exec_driver_sql(query).all():
            if wanted is None or number in wanted:
                with contextlib.suppress(sa.exc.DBAPIError):  # it went by itself meanwhile
                    connection.exec_driver_sql(close.format(number))
                    count += 1
    return count


def hold_lock(path: str | None = None, seconds: float | None = None) -> None:
    """Hold the write lock of a SQLite file for so long; say so when it is held."""
    path = path or sys.argv[1]
    seconds = seconds or float(sys.argv[2])
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    connection.execute('BEGIN IMMEDIATE')
    print('held', flush=True)
    time.sleep(seconds)
    connection.execute('ROLLBACK')
    connection.close()
