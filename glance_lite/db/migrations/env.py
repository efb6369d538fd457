# SPDX-License-Identifier: Apache-2.0
"""Run the migrations on the connection that ``db.schema`` hands over."""

from alembic import context

from glance_lite.db import models

connection = context.config.attributes['connection']
context.configure(
    connection=connection,
    target_metadata=models.METADATA,
    render_as_batch=connection.dialect.name == 'sqlite',
)
with context.begin_transaction():
    context.run_migrations()
