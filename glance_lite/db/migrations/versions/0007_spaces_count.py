# SPDX-License-Identifier: Apache-2.0
"""Spaces at the end of what users write count on MariaDB, too.

The binary collation of the tables takes "a" and "a " for the same: a filter found both, and an
image could not have both as tags. Locations are read together with these columns, in one statement,
for which all must agree. While this runs they do not: there is no release without it.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = '0007'
down_revision = '0006'

#: Table -> columns that hold what users write -> their types, with {} for the collation.
COLUMNS = {
    'images': {
        'name': 'VARCHAR(255) COLLATE {}',
        'owner': 'VARCHAR(255) COLLATE {}',
        'name_key': "VARCHAR(255) COLLATE {} GENERATED ALWAYS AS (coalesce(name, '')) STORED",
    },
    'image_properties': {
        'name': 'VARCHAR(255) COLLATE {} NOT NULL',
        'value': 'MEDIUMTEXT COLLATE {} NOT NULL',
        'value_start': 'VARCHAR(64) COLLATE {} GENERATED ALWAYS AS (substr(value, 1, 64)) STORED',
    },
    'image_tags': {'value': 'VARCHAR(255) COLLATE {} NOT NULL'},
    'image_locations': {
        'store': 'VARCHAR(255) COLLATE {} NOT NULL',
        'url': 'MEDIUMTEXT COLLATE {} NOT NULL',
        'metadata': 'MEDIUMTEXT COLLATE {} NOT NULL',
    },
    'image_members': {'member_id': 'VARCHAR(255) COLLATE {} NOT NULL'},
}


def upgrade() -> None:
    dialect = op.get_bind().dialect
    if dialect.name not in ('mysql', 'mariadb'):
        return
    collation = 'utf8mb4_nopad_bin' if dialect.is_mariadb else 'utf8mb4_0900_bin'
    for table, columns in COLUMNS.items():
        changes = [f'MODIFY {name} {kind.format(collation)}' for name, kind in columns.items()]
        op.execute(f'ALTER TABLE {table} {", ".join(changes)}')
