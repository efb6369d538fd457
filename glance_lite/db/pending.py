# SPDX-License-Identifier: Apache-2.0
"""Images that are deleted to users while their data is kept: ``pending_delete``.

Such an image keeps its rows. Scrubbing first turns its locations into notes of removal: from then
on nothing can restore it, and before that nothing touches its data. It is ``deleted`` when no note
is left.
"""

from __future__ import annotations

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import image_statements, models, removals
from glance_lite.db.engine import Session, utc_in, utcnow
from glance_lite.domain import image as domain
from glance_lite.domain.image import Location

_IMAGES = models.images
#: What a deactivated image remembers of it, so that restoring does not activate it.
_BEFORE = 'os_glance_status_before_delete'


def mark(session: Session, image: domain.Image) -> bool:
    """Hide an image from users and keep its data; False if its status changed meanwhile."""
    assert domain.may_follow(image.status, domain.PENDING_DELETE)
    now = utcnow()
    marked = session.execute(
        _IMAGES.update()
        .where(
            _IMAGES.c.id == image.image_id,
            _IMAGES.c.status == image.status,
            _IMAGES.c.deleted.is_(False),
        )
        .values(
            status=domain.PENDING_DELETE,
            deleted=True,
            deleted_at=now,
            updated_at=now,
            import_task_id=None,
        )
    )
    if marked.rowcount != 1:
        return False
    if image.status != domain.ACTIVE:
        values = {'image_id': image.image_id, 'name': _BEFORE, 'value': image.status}
        session.execute(models.image_properties.insert().values(values))
    return True


def list_due(session: Session, seconds: int, after: str = '', limit: int = 100) -> list[str]:
    """Return ids above ``after`` of images that were deleted so many seconds ago or earlier."""
    rows = session.scalars(
        sa.select(_IMAGES.c.id)
        .where(
            _IMAGES.c.deleted.is_(True),
            _IMAGES.c.status == domain.PENDING_DELETE,
            _IMAGES.c.deleted_at <= utc_in(-seconds),
            _IMAGES.c.id > after,
        )
        .order_by(_IMAGES.c.id)
        .limit(limit)
    )
    return list(rows)


def condemn(session: Session, image_id: str) -> list[removals.Removal]:
    """Give up the data of an image for ever; return all notes of what is to be removed.

    None if it was restored, or is deleted already.
    """
    if not _lock(session, image_id):
        return []
    removals.note(session, image_id, _locations(session, image_id))
    session.execute(
        models.image_locations.delete().where(models.image_locations.c.image_id == image_id)
    )
    return [each for each in removals.list_of(session, image_id) if each.url is not None]


def finish(session: Session, image_id: str) -> bool:
    """Mark an image deleted whose data is gone; False if some is left, or it is not pending."""
    if not _lock(session, image_id) or _locations(session, image_id):
        return False
    if any(each.url is not None for each in removals.list_of(session, image_id)):
        return False
    session.execute(
        _IMAGES.update()
        .where(_IMAGES.c.id == image_id)
        .values(status=domain.DELETED, updated_at=utcnow())
    )
    for statement in image_statements.DELETE_ALL.values():
        session.execute(statement, {'this_id': image_id})
    return True


def restore(session: Session, image_id: str) -> str:
    """Give an image back to its users as it was; return its status.

    :raises ImageNotFound: no image of this id waits to be scrubbed.
    :raises Conflict: its data is being removed.
    """
    if not _lock(session, image_id):
        raise exceptions.ImageNotFound(image_id)
    if not _locations(session, image_id):
        raise exceptions.Conflict(
            f'Image {image_id} cannot be restored: its data is being removed.'
        )
    properties = models.image_properties
    here = (properties.c.image_id == image_id, properties.c.name == _BEFORE)
    status = session.scalar(sa.select(properties.c.value).where(*here)) or domain.ACTIVE
    session.execute(properties.delete().where(*here))
    session.execute(
        _IMAGES.update()
        .where(_IMAGES.c.id == image_id)
        .values(status=status, deleted=False, deleted_at=None, updated_at=utcnow())
    )
    return status


def _lock(session: Session, image_id: str) -> bool:
    """Keep others from deciding on an image until the commit; False if it is not pending."""
    found = session.scalar(
        sa.select(_IMAGES.c.id)
        .where(_IMAGES.c.id == image_id, _IMAGES.c.status == domain.PENDING_DELETE)
        .with_for_update()
    )
    return found is not None


def _locations(session: Session, image_id: str) -> list[Location]:
    table = models.image_locations
    rows = session.execute(
        sa.select(table.c.store, table.c.url).where(table.c.image_id == image_id)
    )
    return [Location(row.store, row.url) for row in rows]
