# SPDX-License-Identifier: Apache-2.0
"""The first schema: images, staged data, tasks, jobs, conductors, and TaskFlow's tables.

Revision ID: 0001
Revises: none
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from taskflow.persistence.backends.sqlalchemy import tables

revision = '0001'
down_revision = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql', 'mariadb')
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
OPTIONS = {
    'mysql_engine': 'InnoDB', 'mysql_charset': 'utf8mb4', 'mysql_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    op.create_table('conductors',
        sa.Column('name', sa.String(length=255), nullable=False),
        sa.Column('host', sa.String(length=255), nullable=False),
        sa.Column('areas', TEXT, nullable=False),
        sa.Column('started_ms', sa.BigInteger(), nullable=False),
        sa.Column('seen_ms', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_conductors')),
        **OPTIONS,
    )
    op.create_table('images',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('name', sa.String(length=255), nullable=True),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('visibility', sa.String(length=10), nullable=False),
        sa.Column('protected', sa.Boolean(), nullable=False),
        sa.Column('os_hidden', sa.Boolean(), nullable=False),
        sa.Column('owner', sa.String(length=255), nullable=True),
        sa.Column('checksum', sa.String(length=32), nullable=True),
        sa.Column('os_hash_algo', sa.String(length=64), nullable=True),
        sa.Column('os_hash_value', sa.String(length=128), nullable=True),
        sa.Column('size', sa.BigInteger(), nullable=True),
        sa.Column('virtual_size', sa.BigInteger(), nullable=True),
        sa.Column('disk_format', sa.String(length=20), nullable=True),
        sa.Column('container_format', sa.String(length=20), nullable=True),
        sa.Column('min_disk', sa.Integer(), nullable=False),
        sa.Column('min_ram', sa.Integer(), nullable=False),
        sa.Column('import_task_id', sa.String(length=36), nullable=True),
        sa.Column('created_at', TIME, nullable=False),
        sa.Column('updated_at', TIME, nullable=False),
        sa.Column('deleted_at', TIME, nullable=True),
        sa.Column('deleted', sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_images')),
        **OPTIONS,
    )
    op.create_index('ix_images_listing', 'images', ['deleted', 'created_at', 'id'], unique=False)
    op.create_index('ix_images_owner', 'images', ['owner', 'deleted', 'created_at', 'id'], unique=False)
    op.create_index('ix_images_visibility', 'images', ['visibility', 'deleted', 'created_at', 'id'], unique=False)
    op.create_table('jobs',
        sa.Column('seq', SEQUENCE, autoincrement=True, nullable=False),
        sa.Column('uuid', sa.String(length=36), nullable=False),
        sa.Column('name', sa.String(length=255), nullable=False),
        sa.Column('details', TEXT, nullable=False),
        sa.Column('area', sa.String(length=36), nullable=True),
        sa.Column('created_ms', sa.BigInteger(), nullable=False),
        sa.Column('owner', sa.String(length=255), nullable=True),
        sa.Column('expires_ms', sa.BigInteger(), nullable=True),
        sa.Column('gen', sa.BigInteger(), nullable=False),
        sa.Column('progress', TEXT, nullable=True),
        sa.PrimaryKeyConstraint('seq', name=op.f('pk_jobs')),
        sa.UniqueConstraint('uuid', name=op.f('uq_jobs_uuid')),
        **OPTIONS,
    )
    op.create_table('tasks',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('type', sa.String(length=30), nullable=False),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('owner', sa.String(length=255), nullable=True),
        sa.Column('user_id', sa.String(length=255), nullable=True),
        sa.Column('request_id', sa.String(length=255), nullable=True),
        sa.Column('image_id', sa.String(length=36), nullable=True),
        sa.Column('input', TEXT, nullable=False),
        sa.Column('plan', TEXT, nullable=False),
        sa.Column('caller', TEXT, nullable=False),
        sa.Column('result', TEXT, nullable=True),
        sa.Column('message', TEXT, nullable=False),
        sa.Column('error', TEXT, nullable=True),
        sa.Column('progress', TEXT, nullable=True),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('cancel_requested', sa.Boolean(), nullable=False),
        sa.Column('deadline_ms', sa.BigInteger(), nullable=True),
        sa.Column('created_at', TIME, nullable=False),
        sa.Column('updated_at', TIME, nullable=False),
        sa.Column('expires_at', TIME, nullable=True),
        sa.Column('deleted', sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_tasks')),
        **OPTIONS,
    )
    op.create_index('ix_tasks_image_id', 'tasks', ['image_id', 'created_at'], unique=False)
    op.create_index('ix_tasks_owner', 'tasks', ['owner', 'deleted', 'created_at'], unique=False)
    op.create_table('image_locations',
        sa.Column('id', SEQUENCE, autoincrement=True, nullable=False),
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('store', sa.String(length=255), nullable=False),
        sa.Column('url', TEXT, nullable=False),
        sa.Column('metadata', TEXT, nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_image_locations_image_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_image_locations')),
        **OPTIONS,
    )
    op.create_index('ix_image_locations_image_id', 'image_locations', ['image_id'], unique=False)
    op.create_table('image_properties',
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('name', sa.String(length=255), nullable=False),
        sa.Column('value', TEXT, nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_image_properties_image_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('image_id', 'name', name=op.f('pk_image_properties')),
        **OPTIONS,
    )
    op.create_table('image_tags',
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('value', sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_image_tags_image_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('image_id', 'value', name=op.f('pk_image_tags')),
        **OPTIONS,
    )
    op.create_index('ix_image_tags_value', 'image_tags', ['value', 'image_id'], unique=False)
    op.create_table('staged',
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('area', sa.String(length=36), nullable=False),
        sa.Column('file_name', sa.String(length=255), nullable=False),
        sa.Column('facts', TEXT, nullable=False),
        sa.Column('created_at', TIME, nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_staged_image_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('image_id', name=op.f('pk_staged')),
        **OPTIONS,
    )
    op.create_table('uploads',
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('token', sa.String(length=36), nullable=False),
        sa.Column('seen_ms', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_uploads_image_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('image_id', name=op.f('pk_uploads')),
        **OPTIONS,
    )

    # TaskFlow's own upgrade would share the version table with ours, so its tables come here
    taskflow = sa.MetaData()
    tables.fetch(taskflow)
    taskflow.create_all(op.get_bind())
