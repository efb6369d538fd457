# SPDX-License-Identifier: Apache-2.0
"""Indexes with which listings take as long among many images as among few.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'

LISTED, NEWEST = ['deleted', 'os_hidden'], ['created_at', 'id']
KEYS = {
    'name': ('name_key', sa.String(255), "coalesce(name, '')"),
    'size': ('size_key', sa.BigInteger(), 'coalesce(size, -1)'),
    'disk_format': ('disk_format_key', sa.String(20), "coalesce(disk_format, '')"),
    'container_format': ('container_format_key', sa.String(20), "coalesce(container_format, '')"),
}
REPLACED = {
    'listing': [],
    'owner': ['owner'],
    'visibility': ['visibility'],
}


def upgrade() -> None:
    # SQLite cannot add a column that it would have to write into every row
    persisted = op.get_bind().dialect.name != 'sqlite'
    for key, kind, expression in KEYS.values():
        computed = sa.Computed(expression, persisted=persisted)
        op.add_column('images', sa.Column(key, kind, computed))
    for name, first in REPLACED.items():
        op.drop_index(f'ix_images_{name}', 'images')
        op.create_index(f'ix_images_{name}', 'images', first + LISTED + NEWEST)
    for name in (*KEYS, 'status', 'updated_at', 'protected'):
        key = KEYS[name][0] if name in KEYS else name
        op.create_index(f'ix_images_{name}', 'images', [*LISTED, key, *NEWEST])
    for name in ('checksum', 'os_hash_value'):
        op.create_index(f'ix_images_{name}', 'images', [name])
    start = sa.Computed('substr(value, 1, 64)', persisted=persisted)
    op.add_column('image_properties', sa.Column('value_start', sa.String(64), start))
    op.create_index(
        'ix_image_properties_value', 'image_properties', ['name', 'value_start', 'image_id']
    )
