# SPDX-License-Identifier: Apache-2.0
"""Whose import a job is, and stored data that is still to be removed.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0002'
down_revision = '0001'

TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
OPTIONS = {
    'mysql_engine': 'InnoDB', 'mysql_charset': 'utf8mb4', 'mysql_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    op.add_column('jobs', sa.Column('project', sa.String(length=255), nullable=True))
    op.create_index('ix_jobs_project', 'jobs', ['project'], unique=False)
    op.create_table('removals',
        sa.Column('id', SEQUENCE, autoincrement=True, nullable=False),
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('store', sa.String(length=255), nullable=False),
        sa.Column('url', TEXT, nullable=False),
        sa.Column('due_ms', sa.BigInteger(), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_removals')),
        **OPTIONS,
    )
    op.create_index('ix_removals_due_ms', 'removals', ['due_ms'], unique=False)
    op.create_index('ix_removals_image_id', 'removals', ['image_id'], unique=False)
