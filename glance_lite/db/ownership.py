# SPDX-License-Identifier: Apache-2.0
"""To whom data belongs that lies in a store or in staging: images, uploads, imports.

Names of attempts are never used again. So what was listed *before* it was asked for here, and
belongs to nobody, never will: it may be removed, however late that happens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import task as task_domain


@dataclasses.dataclass
class Ownership:
    """What the records say of the data of one image id.

    ``status`` is that of the image, ``deleted`` if it was or if the task that was to make it has
    failed, None if this service knows nothing of the id.
    ``busy`` tells that an upload or import may own more than is recorded. ``places`` of the
    image, and those ``noted`` for removal, are pairs of store id and URL.
    """

    status: str | None = None
    busy: bool = False
    places: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    noted: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    staged_files: set[str] = dataclasses.field(default_factory=set)


def of(session: Session, image_id: str) -> Ownership:
    """Return what the records say of one image id."""
    return of_all(session, [image_id])[image_id]


def of_all(session: Session, image_ids: Collection[str]) -> dict[str, Ownership]:
    """Return what the records say of each of these image ids; some hundred at a time."""
    found = {image_id: Ownership() for image_id in image_ids}
    # in this order: an upload becomes staged data or a location, staged data becomes an import,
    # and an import a location, so what moves on meanwhile is still met
    uploads, tasks = models.uploads, models.tasks
    staged, images = models.staged, models.images
    for (image_id,) in session.execute(_select(uploads.c.image_id, image_ids)):
        found[image_id].busy = True
    for image_id, name in session.execute(
        _select(staged.c.image_id, image_ids, staged.c.file_name)
    ):
        found[image_id].staged_files.add(name)
    for image_id, status in session.execute(_select(tasks.c.image_id, image_ids, tasks.c.status)):
        if status in task_domain.FINAL:
            found[image_id].status = domain.DELETED  # unless the image is met below
        else:
            found[image_id].busy = True
    for table, name in ((models.image_locations, 'places'), (models.removals, 'noted')):
        for image_id, store, url in session.execute(
            _select(table.c.image_id, image_ids, table.c.store, table.c.url)
        ):
            getattr(found[image_id], name).add((store, url))
    for image_id, status in session.execute(_select(images.c.id, image_ids, images.c.status)):
        found[image_id].status = status
    return found


def list_stores(session: Session) -> set[str]:
    """Return the ids of all stores that have data of images, configured or not."""
    return set(session.scalars(sa.select(models.image_locations.c.store).distinct()))


def _select(key: sa.Column[Any], image_ids: Collection[str], *columns: Any) -> sa.Select[Any]:
    return sa.select(key, *columns).where(key.in_(image_ids))
