# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the schema that this release needs, and tell whether it is there.

The steps themselves are in ``migrations/versions``.
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.db.engine import Database, unusable

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
    with db.write_engine.begin() as connection:
        _lock(connection)
        config.attributes['connection'] = connection
        try:
            command.upgrade(config, 'head')
        finally:
            _unlock(connection)
    return head()


def require_current(db: Database) -> None:
    """Raise unless the schema is the one that this release needs; sync an embedded one.

    :raises ConfigError: a server database has another schema; the message names the command.
    """
    try:
        found, wanted = current(db), head()
    except db_exception.DBError as error:
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


def _lock(connection: sa.Connection) -> None:
    if connection.dialect.name == 'postgresql':
        connection.exec_driver_sql('SELECT pg_advisory_xact_lock(7023214)')
    elif connection.dialect.name in ('mysql', 'mariadb'):
        connection.exec_driver_sql("SELECT GET_LOCK('glance_lite_schema', 600)")


def _unlock(connection: sa.Connection) -> None:
    if connection.dialect.name in ('mysql', 'mariadb'):
        connection.exec_driver_sql("SELECT RELEASE_LOCK('glance_lite_schema')")
