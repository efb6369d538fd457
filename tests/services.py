# SPDX-License-Identifier: Apache-2.0
"""Where the real services of the tests are, and what to do when one is not there.

A test has a database of its own: a new one, dropped after it, or one with the current schema, which
the next test gets emptied, since making the tables takes longer than most tests.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from glance_lite.db import schema
from glance_lite.db.engine import Database

#: Set in CI: a service that is missing then fails the test instead of skipping it.
REQUIRED = os.environ.get('GLANCE_LITE_REQUIRE_SERVICES') == '1'

#: Kind of database -> (variable, default URL of a server, the Debian package that brings it).
SERVERS = {
    'postgresql': (
        'GLANCE_LITE_TEST_POSTGRESQL',
        'postgresql+psycopg://postgres@127.0.0.1:5432/postgres',
        'postgresql',
    ),
    'mariadb': (
        'GLANCE_LITE_TEST_MARIADB',
        'mysql+pymysql://root@127.0.0.1:3306/mysql',
        'mariadb-server',
    ),
}
KINDS = ('sqlite', *SERVERS)


def missing(reason: str) -> None:
    """Skip the test for want of a service, or fail it where services are required."""
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def database(kind: str, directory: str) -> Iterator[str]:
    """Yield the URL of a new, empty database of this kind."""
    if kind == 'sqlite':
        yield f'sqlite:///{directory}/{uuid.uuid4().hex}.sqlite'
        return
    variable, default, package = SERVERS[kind]
    url = sa.make_url(os.environ.get(variable, default))
    name = f'glance_lite_test_{uuid.uuid4().hex[:12]}'
    engine = sa.create_engine(url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE {name}')
    except sa.exc.OperationalError as error:
        missing(
            f'No {kind} answers at {url.host}:{url.port}. Install and start it '
            f'(apt install {package}), or set {variable} to the URL of one. ({error.orig})'
        )
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            if kind == 'postgresql':
                connection.exec_driver_sql(f'DROP DATABASE {name} WITH (FORCE)')
            else:
                connection.exec_driver_sql(f'DROP DATABASE {name}')


class Migrated:
    """Databases with the current schema and without rows, for one test after another."""

    def __init__(self, conf_of: Callable[[str], cfg.ConfigOpts], directory: Path) -> None:
        """``conf_of`` makes a configuration for the URL of a database."""
        self._conf_of = conf_of
        self._sqlite = directory / 'migrated.sqlite'
        self._idle: dict[str, str] = {}
        self._open = contextlib.ExitStack()

    @contextlib.contextmanager
    def lend(self, kind: str, directory: str) -> Iterator[str]:
        """Yield the URL of a database of this kind that nobody else has."""
        if kind == 'sqlite':
            path = f'{directory}/{uuid.uuid4().hex}.sqlite'
            self.copy_sqlite(path)
            yield f'sqlite:///{path}'
            return
        url = self._idle.pop(kind, None)
        if url is None:
            url = self._open.enter_context(database(kind, directory))
            self._sync(url)
        yield url
        # one that cannot be emptied, as a test left a transaction open, is not used again
        with contextlib.suppress(sa.exc.DBAPIError):
            _empty(url)
            self._idle[kind] = url

    def copy_sqlite(self, path: str | Path) -> None:
        """Make an SQLite file with the current schema."""
        if not self._sqlite.exists():
            self._sync(f'sqlite:///{self._sqlite}')
        shutil.copyfile(self._sqlite, path)

    def close(self) -> None:
        """Drop what was made."""
        self._open.close()

    def _sync(self, url: str) -> None:
        db = Database.from_conf(self._conf_of(url))
        schema.sync(db)
        db.dispose()  # the last connection to an SQLite file moves its journal into it


def _empty(url: str) -> None:
    """Delete all rows of a server database, within seconds.

    :raises DBAPIError: somebody holds a lock.
    """
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    is_postgresql = engine.dialect.name == 'postgresql'
    with engine.begin() as connection:
        for statement in _ALONE[is_postgresql]:
            connection.exec_driver_sql(statement)
        for table in sa.inspect(connection).get_table_names():
            if table != schema.VERSION_TABLE:
                connection.exec_driver_sql(f'DELETE FROM {table}')


#: Wait briefly, and mind no foreign keys: MariaDB, PostgreSQL.
_ALONE = (
    ('SET innodb_lock_wait_timeout = 2', 'SET foreign_key_checks = 0'),
    ("SET lock_timeout = '2s'", "SET session_replication_role = 'replica'"),
)
