# SPDX-License-Identifier: Apache-2.0
"""Tasks that make their image: what it will be; and listing tasks.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0005'
down_revision = '0004'

TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')


def upgrade() -> None:
    op.add_column('tasks', sa.Column('draft', TEXT, nullable=True))
    op.create_index('ix_tasks_listing', 'tasks', ['deleted', 'created_at', 'id'], unique=False)
