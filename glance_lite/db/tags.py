# SPDX-License-Identifier: Apache-2.0
"""Single tags of an image. All of them at once are with ``images.py``."""

from __future__ import annotations

import sqlalchemy as sa

from glance_lite.db import images, models
from glance_lite.db.engine import Session

_TABLE = models.image_tags
_INSERT = _TABLE.insert()
_DELETE = _TABLE.delete().where(
    _TABLE.c.image_id == sa.bindparam('this_id'), _TABLE.c.value == sa.bindparam('this_value')
)


def insert(session: Session, image_id: str, value: str) -> None:
    """Add a tag that the image does not have."""
    session.execute(_INSERT, {'image_id': image_id, 'value': value})
    images.update(session, image_id)


def delete(session: Session, image_id: str, value: str) -> bool:
    """Remove a tag; False if the image does not have it."""
    found = session.execute(_DELETE, {'this_id': image_id, 'this_value': value}).rowcount == 1
    if found:
        images.update(session, image_id)
    return found
