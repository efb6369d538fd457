# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the schema that this release needs, and tell whether it is there.

The steps themselves are in ``migrations/versions``. A revision is a number; its thousands are the
generation. Within one generation revisions only add, so that processes of an older release work on
with the schema of a newer one; what takes something away begins the next generation.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from oslo_db import exception as db_exception
from oslo_log import log

from glance_lite import exceptions
from glance_lite.db.connecting import unusable
from glance_lite.db.engine import Database

LOG = log.getLogger(__name__)

VERSION_TABLE = 'alembic_version'
_DIRECTORY = os.path.join(os.path.dirname(__file__), 'migrations')


@functools.cache
def head() -> str:
    """Return the revision that this release needs."""
    revision = ScriptDirectory(_DIRECTORY).get_current_head()
    assert revision is not None
    return revision


def newest_of_generation(revision: str | None) -> str:
    """Return to which revision a database may go without harm to older releases that run on it."""
    if revision is None:
        return head()
    known = [each.revision for each in ScriptDirectory(_DIRECTORY).walk_revisions()]  # newest first
    fitting = (each for each in known if _generation(each) == _generation(revision))
    return next(fitting, revision)


def is_sufficient(found: str | None) -> bool:
    """Tell whether this release works with the schema: with its own, or one that only has more."""
    wanted = head()
    return found == wanted or (
        found is not None
        and found.isdecimal()
        and int(found) > int(wanted)
        and _generation(found) == _generation(wanted)
    )


def _generation(revision: str) -> int:
    return int(revision) // 1000 if revision.isdecimal() else -1


def current(db: Database) -> str | None:
    """Return the revision of the database, None for an empty one."""
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={'version_table': VERSION_TABLE})
        return context.get_current_revision()


def sync(db: Database, target: str | None = None) -> str:
    """Bring the schema to ``target``, or to :func:`head`, and return the revision it has then.

    Safe to call at any time, also by several processes: on a server database a lock makes the
    others wait, on SQLite the write lock does. A newer schema stays as it is.

    :raises ConfigError: a newer release made a schema that this one cannot use.
    """
    found = current(db)
    if is_sufficient(found):
        return found or head()
    _require_known(found)
    config = Config()
    config.set_main_option('script_location', _DIRECTORY.replace('%', '%%'))
    with _one_at_a_time(db), db.write_engine.begin() as connection:
        config.attributes['connection'] = connection
        command.upgrade(config, target or 'head')
    return target or head()


def _require_known(found: str | None) -> None:
    """Raise for a revision that only a newer release knows."""
    if found is None:
        return
    if any(found == each.revision for each in ScriptDirectory(_DIRECTORY).walk_revisions()):
        return
    raise exceptions.ConfigError(
        f'The database is at schema revision {found}, which this release does not know: a newer '
        'one made it. Use that release.'
    )


def require_current(db: Database) -> None:
    """Raise unless the schema is the one that this release needs; sync an embedded one.

    :raises ConfigError: a server database has another schema; the message names the command.
    """
    try:
        found, wanted = current(db), head()
    except (sa.exc.DBAPIError, db_exception.DBError) as error:
        raise unusable(error) from error
    if is_sufficient(found):
        if found != wanted:
            LOG.info('The schema of the database, %s, is newer than %s: it fits', found, wanted)
        return
    _require_known(found)
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
