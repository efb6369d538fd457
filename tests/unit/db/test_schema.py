# SPDX-License-Identifier: Apache-2.0
"""The migrations make what the models say, on every database, however often they run."""

import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from glance_lite import exceptions
from glance_lite.db import models, schema

TASKFLOW_TABLES = {'logbooks', 'flowdetails', 'atomdetails'}


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
