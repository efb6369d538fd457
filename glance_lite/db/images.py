# SPDX-License-Identifier: Apache-2.0
"""Images with their properties, tags and locations.

Statuses change only by compare-and-set (``from_status``); rows stay inside, callers get
:class:`~glance_lite.domain.image.Image`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.db import image_statements as statements
from glance_lite.db import models
from glance_lite.db.engine import Session, utcnow
from glance_lite.domain import image as domain

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
    rows = session.execute(statements.WHOLE, {'this_id': image_id}).all()
    found = [row for row in rows if row[1] == statements.IMAGE]
    if not found:
        raise exceptions.ImageNotFound(image_id)
    this, _, _, name, _, _, *others = found[0]
    image = domain.Image(this, name, *others)
    _put_beside({this: image}, rows)
    return image


def get_bare(session: Session, image_id: str) -> domain.Image:
    """Return an image as :func:`get` does, but without properties, tags and locations."""
    row = session.execute(statements.ROW, {'this_id': image_id}).one_or_none()
    if row is None:
        raise exceptions.ImageNotFound(image_id)
    return _from_row(row)


def is_taken(session: Session, image_id: str) -> bool:
    """Tell whether there is an image with this id, or was one."""
    return session.execute(statements.TAKEN, {'this_id': image_id}).first() is not None


def get_for_update(session: Session, image_id: str) -> domain.Image:
    """Return an image as :func:`get` does, and keep others from changing it until the commit."""
    if session.execute(statements.LOCK, {'this_id': image_id}).one_or_none() is None:
        raise exceptions.ImageNotFound(image_id)
    return get(session, image_id)


def load(session: Session, rows: Sequence[Any]) -> list[domain.Image]:
    """Turn rows of the images table into images, with one query for all that stands beside."""
    images = {row[0]: _from_row(row) for row in rows}
    if images:
        _put_beside(images, session.execute(statements.BESIDE, {'these_ids': list(images)}).all())
    return [images[row[0]] for row in rows]


def insert(session: Session, image: domain.Image) -> domain.Image:
    """Add a new image; its times are set here.

    :raises ImageExists: the id is taken, also if that image was deleted.
    """
    image.created_at = image.updated_at = utcnow()
    values = {name: getattr(image, name) for name in statements.COLUMNS}
    try:
        session.execute(statements.INSERT, {'id': image.image_id, 'deleted': False, **values})
    except db_exception.DBDuplicateEntry as error:
        raise exceptions.ImageExists(
            f'An image with id {image.image_id} exists already or existed before.'
        ) from error
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
    statuses = None
    if from_status is not None:
        allowed = [from_status] if isinstance(from_status, str) else list(from_status)
        new = values.get('status')
        assert new is None or all(old == new or domain.may_follow(old, new) for old in allowed)
        statuses = len(allowed)
        values['old_status'] = allowed[0] if statuses == 1 else allowed
    if held_by is not None:
        values['old_task'] = held_by
    values.setdefault('updated_at', utcnow())
    statement = statements.update(statuses, held_by is not None)
    return session.execute(statement, {'this_id': image_id, **values}).rowcount == 1


def hold_for_import(
    session: Session, image_id: str, task_id: str, from_status: str, status: str = domain.IMPORTING
) -> bool:
    """Move an image to ``status`` in the name of a task; False if another was quicker."""
    values = {
        'this_id': image_id,
        'old_status': from_status,
        'status': status,
        'import_task_id': task_id,
        'updated_at': utcnow(),
    }
    return session.execute(statements.HOLD, values).rowcount == 1


def set_properties(session: Session, image_id: str, changes: dict[str, str | None]) -> None:
    """Set custom properties by name; a value of None removes one."""
    if not changes:
        return
    session.execute(
        statements.DELETE_PROPERTIES, {'this_id': image_id, 'these_names': list(changes)}
    )
    _insert_properties(
        session, image_id, {name: value for name, value in changes.items() if value is not None}
    )


def set_tags(session: Session, image_id: str, tags: Iterable[str]) -> None:
    """Replace all tags."""
    session.execute(statements.DELETE_ALL[models.image_tags], {'this_id': image_id})
    _insert_tags(session, image_id, tags)


def set_locations(session: Session, image_id: str, locations: Iterable[domain.Location]) -> None:
    """Replace all locations."""
    session.execute(statements.DELETE_ALL[models.image_locations], {'this_id': image_id})
    add_locations(session, image_id, locations)


def add_locations(session: Session, image_id: str, locations: Iterable[domain.Location]) -> None:
    """Add locations behind those that the image has."""
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
        session.execute(statements.INSERT_LOCATIONS, rows)


def delete(
    session: Session,
    image_id: str,
    from_status: Iterable[str],
    *,
    known: domain.Image | None = None,
) -> bool:
    """Mark an image deleted; its id stays taken for ever. False if its status changed.

    :param known: the image as it was read for update: what it has not need not be removed.
    """
    now = utcnow()
    if not update(
        session,
        image_id,
        from_status=from_status,
        status=domain.DELETED,
        deleted=True,
        deleted_at=now,
        updated_at=now,
        import_task_id=None,
    ):
        return False
    lacking = set()
    if known is not None:
        lacking = {
            table
            for table, found in (
                (models.image_properties, known.properties),
                (models.image_tags, known.tags),
                (models.image_locations, known.locations),
            )
            if not found
        }
    for table, statement in statements.DELETE_ALL.items():
        if table not in lacking:
            session.execute(statement, {'this_id': image_id})
    return True


def _from_row(row: Any) -> domain.Image:
    return domain.Image(*row)


def _put_beside(images: dict[str, domain.Image], rows: Iterable[Any]) -> None:
    """Give images the properties, tags and locations that rows of ``statements.BESIDE`` have."""
    places: list[tuple[int, str, domain.Location]] = []
    for image_id, kind, place, name, value, metadata, *_ in rows:
        if kind == statements.PROPERTY:
            images[image_id].properties.update(json.loads(value))
        elif kind == statements.TAG:
            images[image_id].tags.extend(json.loads(value))
        elif kind == statements.LOCATION:
            places.append((place, image_id, domain.Location(name, value, json.loads(metadata))))
    for image in images.values():
        image.tags.sort()
    for _, image_id, location in sorted(places, key=lambda each: each[0]):
        images[image_id].locations.append(location)


def _insert_properties(session: Session, image_id: str, properties: dict[str, str]) -> None:
    rows = [
        {'image_id': image_id, 'name': name, 'value': value} for name, value in properties.items()
    ]
    if rows:
        session.execute(statements.INSERT_PROPERTIES, rows)


def _insert_tags(session: Session, image_id: str, tags: Iterable[str]) -> None:
    rows = [{'image_id': image_id, 'value': tag} for tag in dict.fromkeys(tags)]
    if rows:
        session.execute(statements.INSERT_TAGS, rows)
