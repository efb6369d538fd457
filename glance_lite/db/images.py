# SPDX-License-Identifier: Apache-2.0
"""Images with their properties, tags and locations.

Statuses change only by compare-and-set (``from_status``); rows stay inside, callers get
:class:`~glance_lite.domain.image.Image`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.db import models
from glance_lite.db.engine import Session, utcnow
from glance_lite.domain import image as domain

_COLUMNS = (
    'name',
    'status',
    'visibility',
    'protected',
    'os_hidden',
    'owner',
    'checksum',
    'os_hash_algo',
    'os_hash_value',
    'size',
    'virtual_size',
    'disk_format',
    'container_format',
    'min_disk',
    'min_ram',
    'import_task_id',
)
#: What status ``queued`` forgets about data that is no longer there.
NO_DATA: dict[str, Any] = {
    'size': None,
    'virtual_size': None,
    'checksum': None,
    'os_hash_algo': None,
    'os_hash_value': None,
}


def get(session: Session, image_id: str) -> domain.Image:
    """Return an image that is not deleted.

    :raises ImageNotFound: there is none with this id.
    """
    table = models.images
    row = session.execute(
        sa.select(table).where(table.c.id == image_id, table.c.deleted.is_(False))
    ).one_or_none()
    if row is None:
        raise exceptions.ImageNotFound(image_id)
    return load(session, [row])[0]


def get_for_update(session: Session, image_id: str) -> domain.Image:
    """Return an image as :func:`get` does, and keep others from changing it until the commit."""
    table = models.images
    row = session.execute(
        sa.select(table).where(table.c.id == image_id, table.c.deleted.is_(False)).with_for_update()
    ).one_or_none()
    if row is None:
        raise exceptions.ImageNotFound(image_id)
    return load(session, [row])[0]


def load(session: Session, rows: Sequence[Any]) -> list[domain.Image]:
    """Turn rows of the images table into images, with one query for each side table."""
    images = {row.id: _from_row(row) for row in rows}
    if not images:
        return []
    for image_id, name, value in session.execute(
        _beside(models.image_properties, images, 'name', 'value')
    ):
        images[image_id].properties[name] = value
    for image_id, value in session.execute(
        _beside(models.image_tags, images, 'value').order_by(models.image_tags.c.value)
    ):
        images[image_id].tags.append(value)
    for image_id, store, url, metadata in session.execute(
        _beside(models.image_locations, images, 'store', 'url', 'metadata').order_by(
            models.image_locations.c.id
        )
    ):
        images[image_id].locations.append(domain.Location(store, url, json.loads(metadata)))
    return [images[row.id] for row in rows]


def insert(session: Session, image: domain.Image) -> domain.Image:
    """Add a new image; its times are set here.

    :raises ImageExists: the id is taken, also if that image was deleted.
    """
    now = utcnow()
    values = {name: getattr(image, name) for name in _COLUMNS}
    try:
        session.execute(
            models.images.insert().values(
                id=image.image_id, created_at=now, updated_at=now, deleted=False, **values
            )
        )
    except db_exception.DBDuplicateEntry as error:
        raise exceptions.ImageExists(
            f'An image with id {image.image_id} exists already or existed before.'
        ) from error
    image.created_at = image.updated_at = now
    _insert_properties(session, image.image_id, image.properties)
    _insert_tags(session, image.image_id, image.tags)
    return image


def update(
    session: Session,
    image_id: str,
    *,
    from_status: str | Iterable[str] | None = None,
    held_by: str | None = None,
    **values: Any,
) -> bool:
    """Set columns; True if the image was in ``from_status`` and ``held_by`` that import task.

    A new ``status`` that may not follow ``from_status`` is a programming error.
    """
    table = models.images
    conditions = [table.c.id == image_id, table.c.deleted.is_(False)]
    if from_status is not None:
        allowed = [from_status] if isinstance(from_status, str) else list(from_status)
        conditions.append(table.c.status.in_(allowed))
        new = values.get('status')
        assert new is None or all(old == new or domain.may_follow(old, new) for old in allowed)
    if held_by is not None:
        conditions.append(table.c.import_task_id == held_by)
    values.setdefault('updated_at', utcnow())
    result = session.execute(table.update().where(*conditions).values(**values))
    return result.rowcount == 1


def hold_for_import(session: Session, image_id: str, task_id: str, from_status: str) -> bool:
    """Move an image to ``importing`` in the name of a task; False if another was quicker."""
    table = models.images
    result = session.execute(
        table.update()
        .where(
            table.c.id == image_id,
            table.c.deleted.is_(False),
            table.c.status == from_status,
            table.c.import_task_id.is_(None),
        )
        .values(status=domain.IMPORTING, import_task_id=task_id, updated_at=utcnow())
    )
    return result.rowcount == 1


def set_properties(session: Session, image_id: str, changes: dict[str, str | None]) -> None:
    """Set custom properties by name; a value of None removes one."""
    table = models.image_properties
    if not changes:
        return
    session.execute(
        table.delete().where(table.c.image_id == image_id, table.c.name.in_(list(changes)))
    )
    _insert_properties(
        session, image_id, {name: value for name, value in changes.items() if value is not None}
    )


def set_tags(session: Session, image_id: str, tags: Iterable[str]) -> None:
    """Replace all tags."""
    table = models.image_tags
    session.execute(table.delete().where(table.c.image_id == image_id))
    _insert_tags(session, image_id, tags)


def set_locations(session: Session, image_id: str, locations: Iterable[domain.Location]) -> None:
    """Replace all locations."""
    table = models.image_locations
    session.execute(table.delete().where(table.c.image_id == image_id))
    rows = [
        {
            'image_id': image_id,
            'store': location.store,
            'url': location.url,
            'metadata': json.dumps(location.metadata),
        }
        for location in locations
    ]
    if rows:
        session.execute(table.insert(), rows)


def delete(session: Session, image_id: str, from_status: Iterable[str]) -> bool:
    """Mark an image deleted; its id stays taken for ever. False if its status changed."""
    table = models.images
    now = utcnow()
    result = session.execute(
        table.update()
        .where(
            table.c.id == image_id,
            table.c.deleted.is_(False),
            table.c.status.in_(list(from_status)),
        )
        .values(
            status=domain.DELETED,
            deleted=True,
            deleted_at=now,
            updated_at=now,
            import_task_id=None,
        )
    )
    if result.rowcount != 1:
        return False
    for side in (
        models.image_properties,
        models.image_tags,
        models.image_locations,
        models.staged,
        models.uploads,
    ):
        session.execute(side.delete().where(side.c.image_id == image_id))
    return True


def _from_row(row: Any) -> domain.Image:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return domain.Image(
        image_id=row.id, created_at=row.created_at, updated_at=row.updated_at, **values
    )


def _beside(table: sa.Table, images: dict[str, Any], *columns: str) -> sa.Select[Any]:
    # one id, the common case, compiles to a plain comparison
    ids = list(images)
    condition = table.c.image_id == ids[0] if len(ids) == 1 else table.c.image_id.in_(ids)
    return sa.select(table.c.image_id, *(table.c[name] for name in columns)).where(condition)


def _insert_properties(session: Session, image_id: str, properties: dict[str, str]) -> None:
    rows = [
        {'image_id': image_id, 'name': name, 'value': value} for name, value in properties.items()
    ]
    if rows:
        session.execute(models.image_properties.insert(), rows)


def _insert_tags(session: Session, image_id: str, tags: Iterable[str]) -> None:
    rows = [{'image_id': image_id, 'value': tag} for tag in dict.fromkeys(tags)]
    if rows:
        session.execute(models.image_tags.insert(), rows)
