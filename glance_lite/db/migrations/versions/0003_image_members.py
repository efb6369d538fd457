# SPDX-License-Identifier: Apache-2.0
"""Members: the projects with which images are shared.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0003'
down_revision = '0002'

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql', 'mariadb')
OPTIONS = {
    'mysql_engine': 'InnoDB', 'mysql_charset': 'utf8mb4', 'mysql_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    op.create_table('image_members',
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('member_id', sa.String(length=255), nullable=False),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('created_at', TIME, nullable=False),
        sa.Column('updated_at', TIME, nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_image_members_image_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('image_id', 'member_id', name=op.f('pk_image_members')),
        **OPTIONS,
    )
    op.create_index('ix_image_members_member_id', 'image_members', ['member_id', 'status', 'image_id'], unique=False)
