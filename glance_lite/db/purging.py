# SPDX-License-Identifier: Apache-2.0
"""Forget what is long over: facts about deleted images, ended imports, at last the ids themselves.

The row of a deleted image outlives all that it says: as long as it stands, nobody can give its id
to other data, for which those would take it who remember the id. Taking ids away is a step apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Database, Session, now_ms, utc_in
from glance_lite.domain import image as image_domain
from glance_lite.domain import task as task_domain

DAY_SECONDS = 24 * 3600
#: Rows that one transaction takes.
_BATCH = 500

_IMAGES = models.images
#: What the row of a deleted image need not say any more; its id, times and status stay.
_FACTS: tuple[sa.Column[Any], ...] = tuple(
    _IMAGES.c[name]
    for name in (
        'name',
        'owner',
        'checksum',
        'os_hash_algo',
        'os_hash_value',
        'size',
        'virtual_size',
        'disk_format',
        'container_format',
    )
)
#: Tables with rows of an image, which a deleted one does not have unless something went wrong.
_BESIDE = (
    models.image_properties,
    models.image_tags,
    models.image_members,
    models.image_locations,
    models.staged,
    models.uploads,
)


def purge(db: Database, age_days: int, max_rows: int | None) -> dict[str, int]:
    """Forget what ended before so many days, and return how many rows of each table that concerned.

    Deleted images become bare ids. Safe while the service runs.

    :param max_rows: of each table at most; None for all.
    """
    found: dict[str, int] = {}
    for table in _BESIDE:
        found[table.name] = _repeat(db, max_rows, _delete_beside, table, age_days)
    found['tasks'] = _repeat(db, max_rows, _delete_tasks, age_days)
    found['conductors'] = _repeat(db, max_rows, _delete_conductors, age_days)
    found['images'] = _repeat(db, max_rows, _bare_images, age_days)
    return found


def purge_ids(db: Database, age_days: int, max_rows: int | None) -> int:
    """Remove the rows of images that were deleted before so many days; return how many.

    Their ids may then be used again. Images whose stored data is not removed yet keep their rows.
    """
    return _repeat(db, max_rows, _delete_images, age_days)


def _repeat(db: Database, max_rows: int | None, work: Callable[..., int], *args: Any) -> int:
    """Do so many rows of a kind in transactions of some hundred; return how many there were."""
    total = 0
    while max_rows is None or total < max_rows:
        size = _BATCH if max_rows is None else min(_BATCH, max_rows - total)
        count = db.transact(lambda session, size=size: work(session, size, *args))  # type: ignore[misc]
        total += count
        if count < size:
            break
    return total


def _gone(age_days: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the condition of images that were deleted so long ago and lack no removal."""
    noted = models.removals.c.image_id
    return (
        _IMAGES.c.deleted.is_(True),
        _IMAGES.c.status == image_domain.DELETED,
        _IMAGES.c.deleted_at < utc_in(-age_days * DAY_SECONDS),
        ~sa.exists().where(noted == _IMAGES.c.id),
    )


def _delete_beside(session: Session, limit: int, table: sa.Table, age_days: int) -> int:
    keys = list(table.primary_key)
    rows = session.execute(
        sa.select(*keys)
        .join(_IMAGES, _IMAGES.c.id == table.c.image_id)
        .where(*_gone(age_days))
        .limit(limit)
    ).all()
    if rows:
        session.execute(table.delete().where(sa.tuple_(*keys).in_([tuple(row) for row in rows])))
    return len(rows)


def _delete_tasks(session: Session, limit: int, age_days: int) -> int:
    table = models.tasks
    ended = (
        table.c.status.in_(task_domain.FINAL),
        table.c.updated_at < utc_in(-age_days * DAY_SECONDS),
    )
    return _delete_some(session, table.c.id, limit, *ended)


def _delete_conductors(session: Session, limit: int, age_days: int) -> int:
    column = models.conductors.c
    silent = column.seen_ms < now_ms() - age_days * DAY_SECONDS * 1000
    return _delete_some(session, column.name, limit, silent)


def _delete_images(session: Session, limit: int, age_days: int) -> int:
    return _delete_some(session, _IMAGES.c.id, limit, *_gone(age_days))


def _bare_images(session: Session, limit: int, age_days: int) -> int:
    says = sa.or_(*(column.is_not(None) for column in _FACTS))
    ids = _ids(session, _IMAGES.c.id, limit, *_gone(age_days), says)
    if ids:
        nothing = {column.name: None for column in _FACTS}
        session.execute(_IMAGES.update().where(_IMAGES.c.id.in_(ids)).values(nothing))
    return len(ids)


def _delete_some(
    session: Session, key: sa.Column[Any], limit: int, *conditions: sa.ColumnElement[bool]
) -> int:
    ids = _ids(session, key, limit, *conditions)
    if ids:
        session.execute(key.table.delete().where(key.in_(ids), *conditions))
    return len(ids)


def _ids(
    session: Session, key: sa.Column[Any], limit: int, *conditions: sa.ColumnElement[bool]
) -> list[Any]:
    return list(session.scalars(sa.select(key).where(*conditions).limit(limit)))
