# SPDX-License-Identifier: Apache-2.0
"""Fill a database with images for ``listing.py``: owners, names, properties and tags of a cloud.

Runs inside the service's environment (the benchmark itself has no database driver):
``python listing_data.py make|drop SERVER_URL NAME`` and ``python listing_data.py fill URL COUNT``.
The rows are written by SQL; the service itself would take an hour.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import sys
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

ROWS = 1000
#: What is the same for all images.
NAMES = {'min_disk': 0, 'min_ram': 0, 'deleted': False, 'container_format': 'bare'}
SMALL_PROJECTS = 128
BEGIN = datetime.datetime(2025, 1, 1)
#: Custom properties as SQL of ``n``, the number of an image: one image in 10, in 100, 9 in 10,
#: 19 in 20, and each its own.
PROPERTIES = {
    'os_distro': "concat('distro-', mod(n, 10))",
    'os_version': "concat('version-', mod(n, 100))",
    'hw_disk_bus': "case when mod(n, 10) = 9 then 'scsi' else 'virtio' end",
    'architecture': "case when mod(n, 20) = 19 then 'aarch64' else 'x86_64' end",
    'build': "concat('build-', n)",
}
#: Two tags, held by one image in 20 and by one in two.
TAGS = (
    "concat('team-', mod(n, 20))",
    "case when mod(n, 2) = 1 then 'nightly' else concat('release-', mod(n, 500)) end",
)


def image(number: int) -> dict[str, Any]:
    """Return the row of an image, which follows from its number."""
    digest = hashlib.md5(f'image {number}'.encode()).digest()
    spread = int.from_bytes(digest[:4], 'big')
    created = BEGIN + datetime.timedelta(seconds=37 * number)
    # one project has half of the images, many others share the rest
    small = f'small-{digest[5] % SMALL_PROJECTS}'
    return {
        **NAMES,
        'id': str(uuid.UUID(bytes=digest, version=4)),
        'name': None if digest[6] < 5 else f'image-{spread:010d}',
        'status': 'queued' if digest[7] < 6 else 'active',
        'visibility': _visibility(int.from_bytes(digest[8:10], 'big') % 100),
        'protected': digest[10] < 5,
        'os_hidden': digest[11] < 5,
        'owner': 'large' if digest[4] % 2 else small,
        'checksum': digest.hex(),
        'os_hash_algo': 'sha512',
        'os_hash_value': hashlib.sha512(digest).hexdigest(),
        'size': spread * 5,
        'virtual_size': number,
        'disk_format': ('qcow2', 'qcow2', 'qcow2', 'raw', 'iso')[digest[12] % 5],
        'created_at': created,
        'updated_at': created + datetime.timedelta(seconds=spread % 1_000_000),
    }


def _visibility(percent: int) -> str:
    """Choose: 1 % public, 1 % community, 5 % shared, the rest private."""
    if percent < 2:
        return ('public', 'community')[percent]
    return 'shared' if percent < 7 else 'private'


def fill(url: str, count: int) -> None:
    """Write the images and what stands beside them, and let the database take stock."""
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    with engine.begin() as session:
        metadata = sa.MetaData()
        images = sa.Table('images', metadata, autoload_with=session)
        for first in range(0, count, ROWS):
            numbers = range(first, min(first + ROWS, count))
            session.execute(images.insert(), [image(number) for number in numbers])
        for name, value in PROPERTIES.items():
            _beside(session, 'image_properties (name, image_id, value)', f"'{name}', id, {value}")
        for value in TAGS:
            _beside(session, 'image_tags (image_id, value)', f'id, {value}')
        member = "image_members (image_id, status, created_at, updated_at, member_id)"
        answer = (
            "case when mod(n, 3) = 0 then 'pending' else 'accepted' end, created_at, created_at"
        )
        shared = "visibility = 'shared'"
        _beside(session, member, f"id, {answer}, concat('small-', mod(n, 50))", shared)
        _beside(session, member, f"id, {answer}, 'large'", f"{shared} and owner <> 'large'")
    names = ('images', 'image_properties', 'image_tags', 'image_members')
    with engine.connect().execution_options(isolation_level='AUTOCOMMIT') as session:
        for name in names:
            word = 'VACUUM ANALYZE' if engine.dialect.name == 'postgresql' else 'ANALYZE TABLE'
            session.exec_driver_sql(f'{word} {name}')


def _beside(session: sa.Connection, into: str, values: str, where: str = '1 = 1') -> None:
    import sqlalchemy as sa

    numbered = 'SELECT images.*, virtual_size AS n FROM images'
    session.execute(
        sa.text(f'INSERT INTO {into} SELECT {values} FROM ({numbered}) AS numbered WHERE {where}')
    )


def make(server: str, name: str, remove: bool) -> None:
    """Make the empty database ``name``, or only drop the one that there is."""
    import sqlalchemy as sa

    if not re.fullmatch(r'[a-z0-9_]+', name):
        raise SystemExit(f'not a database name: {name}')
    engine = sa.create_engine(server, isolation_level='AUTOCOMMIT')
    with engine.connect() as session:
        session.exec_driver_sql(f'DROP DATABASE IF EXISTS {name}')
        if not remove:
            session.exec_driver_sql(f'CREATE DATABASE {name}')


def main(action: str, url: str, what: str) -> None:
    """Carry out one action."""
    if action == 'fill':
        fill(url, int(what))
    else:
        make(url, what, action == 'drop')


if __name__ == '__main__':
    main(*sys.argv[1:])
