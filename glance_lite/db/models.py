# SPDX-License-Identifier: Apache-2.0
"""The tables. Leases and deadlines are whole milliseconds since 1970 by the database's clock.

Floating-point columns are avoided on purpose: a plain FLOAT is single precision on MariaDB and
would move a lease by up to a minute. The tables of TaskFlow's persistence belong to TaskFlow;
``migrations`` creates them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

METADATA = sa.MetaData(
    naming_convention={
        'ix': 'ix_%(table_name)s_%(column_0_N_name)s',
        'uq': 'uq_%(table_name)s_%(column_0_N_name)s',
        'fk': 'fk_%(table_name)s_%(column_0_name)s',
        'pk': 'pk_%(table_name)s',
    }
)
#: Binary collation: names and properties compare as they are written, on every database.
#: What users write has one that counts spaces at the end, too (migration 0007).
OPTIONS: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql', 'mariadb')
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')

#: What is the same for all rows of a listing, and how those that are equal in its order stand.
_LISTED = ('deleted', 'os_hidden')
_NEWEST = ('created_at', 'id')
#: Attributes to sort by, beside created_at and id -> the column that orders them. Computed columns
#: have a value where the attribute is NULL: databases disagree where NULL stands.
SORT_KEYS = {
    'name': 'name_key',
    'size': 'size_key',
    'disk_format': 'disk_format_key',
    'container_format': 'container_format_key',
    'status': 'status',
    'updated_at': 'updated_at',
}

images = sa.Table(
    'images',
    METADATA,
    sa.Column('id', sa.String(36), primary_key=True),
    sa.Column('name', sa.String(255)),
    sa.Column('status', sa.String(16), nullable=False),
    sa.Column('visibility', sa.String(10), nullable=False),
    sa.Column('protected', sa.Boolean(), nullable=False),
    sa.Column('os_hidden', sa.Boolean(), nullable=False),
    sa.Column('owner', sa.String(255)),
    sa.Column('checksum', sa.String(32)),
    sa.Column('os_hash_algo', sa.String(64)),
    sa.Column('os_hash_value', sa.String(128)),
    sa.Column('size', sa.BigInteger()),
    sa.Column('virtual_size', sa.BigInteger()),
    sa.Column('disk_format', sa.String(20)),
    sa.Column('container_format', sa.String(20)),
    sa.Column('min_disk', sa.Integer(), nullable=False),
    sa.Column('min_ram', sa.Integer(), nullable=False),
    sa.Column('import_task_id', sa.String(36)),
    sa.Column('created_at', TIME, nullable=False),
    sa.Column('updated_at', TIME, nullable=False),
    sa.Column('deleted_at', TIME),
    sa.Column('deleted', sa.Boolean(), nullable=False),
    sa.Column('name_key', sa.String(255), sa.Computed("coalesce(name, '')")),
    sa.Column('size_key', sa.BigInteger(), sa.Computed('coalesce(size, -1)')),
    sa.Column('disk_format_key', sa.String(20), sa.Computed("coalesce(disk_format, '')")),
    sa.Column('container_format_key', sa.String(20), sa.Computed("coalesce(container_format, '')")),
    sa.Index('ix_images_listing', *_LISTED, *_NEWEST),
    sa.Index('ix_images_owner', 'owner', *_LISTED, *_NEWEST),
    sa.Index('ix_images_visibility', 'visibility', *_LISTED, *_NEWEST),
    *(
        sa.Index(f'ix_images_{name}', *_LISTED, key, *_NEWEST)
        for name, key in {**SORT_KEYS, 'protected': 'protected'}.items()
    ),
    sa.Index('ix_images_checksum', 'checksum'),
    sa.Index('ix_images_os_hash_value', 'os_hash_value'),
    **OPTIONS,
)

#: Characters of a property's value that are indexed.
VALUE_START = 64

image_properties = sa.Table(
    'image_properties',
    METADATA,
    sa.Column(
        'image_id', sa.String(36), sa.ForeignKey('images.id', ondelete='CASCADE'), primary_key=True
    ),
    sa.Column('name', sa.String(255), primary_key=True),
    sa.Column('value', TEXT, nullable=False),
    # what an index takes of a value, which may be longer than indexes can be
    sa.Column(
        'value_start', sa.String(VALUE_START), sa.Computed(f'substr(value, 1, {VALUE_START})')
    ),
    sa.Index('ix_image_properties_value', 'name', 'value_start', 'image_id'),
    **OPTIONS,
)

image_tags = sa.Table(
    'image_tags',
    METADATA,
    sa.Column(
        'image_id', sa.String(36), sa.ForeignKey('images.id', ondelete='CASCADE'), primary_key=True
    ),
    sa.Column('value', sa.String(255), primary_key=True),
    sa.Index('ix_image_tags_value', 'value', 'image_id'),
    **OPTIONS,
)

#: The projects with which images are shared, and what they answered.
image_members = sa.Table(
    'image_members',
    METADATA,
    sa.Column(
        'image_id', sa.String(36), sa.ForeignKey('images.id', ondelete='CASCADE'), primary_key=True
    ),
    sa.Column('member_id', sa.String(255), primary_key=True),
    sa.Column('status', sa.String(16), nullable=False),
    sa.Column('created_at', TIME, nullable=False),
    sa.Column('updated_at', TIME, nullable=False),
    sa.Index('ix_image_members_member_id', 'member_id', 'status', 'image_id'),
    **OPTIONS,
)

image_locations = sa.Table(
    'image_locations',
    METADATA,
    sa.Column('id', SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column(
        'image_id', sa.String(36), sa.ForeignKey('images.id', ondelete='CASCADE'), nullable=False
    ),
    sa.Column('store', sa.String(255), nullable=False),
    sa.Column('url', TEXT, nullable=False),
    sa.Column('metadata', TEXT, nullable=False),
    sa.Index('ix_image_locations_image_id', 'image_id'),
    **OPTIONS,
)

#: Complete staged data: a row stands only for a body that arrived whole.
staged = sa.Table(
    'staged',
    METADATA,
    sa.Column(
        'image_id', sa.String(36), sa.ForeignKey('images.id', ondelete='CASCADE'), primary_key=True
    ),
    sa.Column('area', sa.String(36), nullable=False),
    sa.Column('file_name', sa.String(255), nullable=False),
    sa.Column('facts', TEXT, nullable=False),
    sa.Column('created_at', TIME, nullable=False),
    **OPTIONS,
)

#: Bodies that are coming in: whoever receives one renews ``seen_ms``, and ``token`` is the right
#: to decide on the image. A row that is not renewed belongs to a process that is gone.
uploads = sa.Table(
    'uploads',
    METADATA,
    sa.Column(
        'image_id', sa.String(36), sa.ForeignKey('images.id', ondelete='CASCADE'), primary_key=True
    ),
    sa.Column('token', sa.String(36), nullable=False),
    sa.Column('seen_ms', sa.BigInteger(), nullable=False),
    **OPTIONS,
)

tasks = sa.Table(
    'tasks',
    METADATA,
    sa.Column('id', sa.String(36), primary_key=True),
    sa.Column('type', sa.String(30), nullable=False),
    sa.Column('status', sa.String(16), nullable=False),
    sa.Column('owner', sa.String(255)),
    sa.Column('user_id', sa.String(255)),
    sa.Column('request_id', sa.String(255)),
    sa.Column('image_id', sa.String(36)),
    sa.Column('input', TEXT, nullable=False),
    sa.Column('plan', TEXT, nullable=False),
    sa.Column('caller', TEXT, nullable=False),
    sa.Column('result', TEXT),
    sa.Column('message', TEXT, nullable=False),
    sa.Column('error', TEXT),
    sa.Column('draft', TEXT),
    sa.Column('progress', TEXT),
    sa.Column('receipts', TEXT),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('cancel_requested', sa.Boolean(), nullable=False),
    sa.Column('deadline_ms', sa.BigInteger()),
    sa.Column('created_at', TIME, nullable=False),
    sa.Column('updated_at', TIME, nullable=False),
    sa.Column('expires_at', TIME),
    sa.Column('deleted', sa.Boolean(), nullable=False),
    sa.Index('ix_tasks_image_id', 'image_id', 'created_at'),
    sa.Index('ix_tasks_owner', 'owner', 'deleted', 'created_at'),
    sa.Index('ix_tasks_listing', 'deleted', 'created_at', 'id'),
    **OPTIONS,
)

#: The job board: one row for each import that is not finished. ``uuid`` is the task's id.
#: ``gen`` grows with each claim and is the fencing token; ``progress`` is renewed with the lease.
#: ``project`` is whose import it is, to share the conductors out.
jobs = sa.Table(
    'jobs',
    METADATA,
    sa.Column('seq', SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column('uuid', sa.String(36), nullable=False, unique=True),
    sa.Column('name', sa.String(255), nullable=False),
    sa.Column('details', TEXT, nullable=False),
    sa.Column('area', sa.String(36)),
    sa.Column('project', sa.String(255)),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('owner', sa.String(255)),
    sa.Column('expires_ms', sa.BigInteger()),
    sa.Column('gen', sa.BigInteger(), nullable=False),
    sa.Column('progress', TEXT),
    sa.Index('ix_jobs_project', 'project'),
    **OPTIONS,
)

#: Stored data that no image owns any more, and that is not known to be removed: noted in the
#: transaction that takes it from its image, gone when the store has said that it is. An empty
#: ``url`` means whatever attempts at the image left. ``attempts`` is the right to try, by
#: compare-and-set; ``due_ms`` may lie far ahead.
removals = sa.Table(
    'removals',
    METADATA,
    sa.Column('id', SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column('image_id', sa.String(36), nullable=False),
    sa.Column('store', sa.String(255), nullable=False),
    sa.Column('url', TEXT, nullable=False),
    sa.Column('due_ms', sa.BigInteger(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Index('ix_removals_due_ms', 'due_ms'),
    sa.Index('ix_removals_image_id', 'image_id'),
    **OPTIONS,
)

#: Conductors that are alive, and the staging areas that each can reach.
conductors = sa.Table(
    'conductors',
    METADATA,
    sa.Column('name', sa.String(255), primary_key=True),
    sa.Column('host', sa.String(255), nullable=False),
    sa.Column('areas', TEXT, nullable=False),
    sa.Column('started_ms', sa.BigInteger(), nullable=False),
    sa.Column('seen_ms', sa.BigInteger(), nullable=False),
    **OPTIONS,
)
