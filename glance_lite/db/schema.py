# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the schema that this release needs, and tell whether it is there.

The steps themselves are in ``migrations/versions``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.db.connecting import unusable
from glance_lite.db.engine import Database

VERSION_TABLE = 'alembic_version'
_DIRECTORY = os.path.join(os.path.dirname(__file__), 'migrations')


def head() -> str:
    """Return the revision that this release needs."""
    revision = ScriptDirectory(_DIRECTORY).get_current_head()
    assert revision is not None
    return revision


def current(db: Database) -> str | None:
    """Return the revision of the database, None for an empty one."""
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={'version_table': VERSION_TABLE})
        return context.get_current_revision()


def sync(db: Database) -> str:
    """Bring the schema to :func:`head` and return that revision.

    Safe to call at any time, also by several processes: on a server database a lock makes the
    others wait, on SQLite the write lock does.
    """
    config = Config()
    config.set_main_option('script_location', _DIRECTORY.replace('%', '%%'))
    with _one_at_a_time(db), db.write_engine.begin() as connection:
        config.attributes['connection'] = connection
        command.upgrade(config, 'head')
    return head()


def require_current(db: Database) -> None:
    """Raise unless the schema is the one that this release needs; sync an embedded one.

    :raises ConfigError: a server database has another schema; the message names the command.
    """
    try:
        found, wanted = current(db), head()
    except (sa.exc.DBAPIError, db_exception.DBError) as error:
        raise unusable(error) from error
    if found == wanted:
        return
    if db.is_embedded:
        sync(db)
        return
    state = 'has no tables yet' if found is None else f'is at schema revision {found}'
    raise exceptions.ConfigError(
        f'The database {state}, but this release needs {wanted}. Run: glance-lite-manage db sync'
    )


@contextlib.contextmanager
def _one_at_a_time(db: Database) -> Iterator[None]:
    """Keep other processes from changing the schema until the block has committed."""
    if db.is_embedded:
        yield
        return
    take, give = _LOCKS[db.engine.dialect.name == 'postgresql']
    with db.engine.connect() as connection:
        connection.exec_driver_sql(take)
        try:
            yield
        finally:
            connection.exec_driver_sql(give)


#: How a lock that outlives transactions is taken and given back: MariaDB and MySQL, PostgreSQL.
_LOCKS = (
    ("SELECT GET_LOCK('glance_lite_schema', 600)", "SELECT RELEASE_LOCK('glance_lite_schema')"),
    ('SELECT pg_advisory_lock(7023214)', 'SELECT pg_advisory_unlock(7023214)'),
)
