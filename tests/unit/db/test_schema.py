# SPDX-License-Identifier: Apache-2.0
"""The migrations make what the models say, on every database, however often they run."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from glance_lite import exceptions
from glance_lite.db import models, schema

TASKFLOW_TABLES = {'logbooks', 'flowdetails', 'atomdetails'}


@pytest.fixture
def any_db(empty_db):
    """Return a new database, as these tests give it other revisions."""
    schema.sync(empty_db)
    return empty_db


def test_the_migrations_end_at_the_models(any_db):
    with any_db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                'include_object': lambda thing, name, kind, *rest: (
                    not (kind == 'table' and name in TASKFLOW_TABLES)
                )
            },
        )
        assert compare_metadata(context, models.METADATA) == []
        assert set(sa.inspect(connection).get_table_names()) >= TASKFLOW_TABLES


def test_an_empty_database_has_no_version_and_sync_may_be_repeated(empty_db):
    assert schema.current(empty_db) is None
    assert schema.sync(empty_db) == schema.head() == schema.sync(empty_db)
    assert schema.current(empty_db) == schema.head()


def test_two_processes_may_sync_at_once(empty_db):
    errors = []

    def sync():
        try:
            schema.sync(empty_db)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=sync) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert schema.current(empty_db) == schema.head()


def test_an_old_schema_is_synced_only_when_embedded(empty_db):
    if empty_db.is_embedded:
        schema.require_current(empty_db)
        assert schema.current(empty_db) == schema.head()
    else:
        with pytest.raises(exceptions.ConfigError, match='glance-lite-manage db sync'):
            schema.require_current(empty_db)


def set_revision(db, revision):
    with db.write_engine.begin() as connection:
        connection.execute(
            sa.text('UPDATE alembic_version SET version_num = :new'), {'new': revision}
        )


def test_a_schema_that_only_has_more_suits_an_older_release(any_db):
    newer = f'{int(schema.head()) + 1:04}'
    set_revision(any_db, newer)
    schema.require_current(any_db)
    assert schema.sync(any_db) == newer == schema.current(any_db)


def test_a_schema_from_which_something_was_taken_is_refused(any_db):
    set_revision(any_db, '1001')
    for refused in (schema.require_current, schema.sync):
        with pytest.raises(exceptions.ConfigError, match='a newer one made it'):
            refused(any_db)
    assert schema.current(any_db) == '1001'


def test_within_a_generation_migrations_take_nothing_away():
    for path in sorted((Path(schema.__file__).parent / 'migrations/versions').glob('0*.py')):
        source = path.read_text()
        for call in ('drop_table', 'drop_column', 'rename_table'):
            assert call not in source, f'{path.name}: begin a generation (1001) for {call}'


def test_expanding_goes_no_further_than_the_generation(any_db):
    assert schema.newest_of_generation('0001') == schema.newest_of_generation(None) == schema.head()
    assert schema.newest_of_generation('1001') == '1001'
