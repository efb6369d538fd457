# SPDX-License-Identifier: Apache-2.0
"""What a project has of images and of their data, summed when it is asked for.

A sum that is kept would have to be right after every crash; this one cannot be wrong.
"""

from __future__ import annotations

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import task as task_domain

#: Statuses of images whose data is in the staging area, or is about to be.
_STAGED = (domain.UPLOADING, domain.IMPORTING)
_ARRIVING = (domain.SAVING, *_STAGED)

_IMAGES = models.images.c
_IS_OF_PROJECT = (
    _IMAGES.owner == sa.bindparam('this_project', type_=sa.String()),
    _IMAGES.deleted.is_(False),
)


def stored_bytes(session: Session, project: str | None) -> int:
    """Return the sizes of a project's images in all their places: a copy counts as the first."""
    return int(session.scalar(_STORED, {'this_project': project}) or 0)


def staged_bytes(session: Session, project: str | None) -> int:
    """Return the sizes of a project's images that are staged whole, and not active yet."""
    return int(session.scalar(_STAGED_BYTES, {'this_project': project}) or 0)


def count_images(session: Session, project: str | None) -> int:
    """Return how many images a project has, with data or without."""
    return session.scalar(_COUNT, {'this_project': project}) or 0


def count_arriving(session: Session, project: str | None) -> int:
    """Return of how many images of a project data comes, waits to be imported, or is copied.

    Images that tasks are to make count, too.
    """
    images = session.scalar(_COUNT_ARRIVING, {'this_project': project}) or 0
    return images + (session.scalar(_COUNT_DRAFTS, {'this_project': project}) or 0)


# Statements of what may be done for each upload: building one takes longer than running it.
_STORED = (
    sa.select(sa.func.sum(_IMAGES.size))
    .select_from(
        models.images.join(models.image_locations, models.image_locations.c.image_id == _IMAGES.id)
    )
    .where(*_IS_OF_PROJECT)
)
_STAGED_BYTES = sa.select(sa.func.sum(_IMAGES.size)).where(
    *_IS_OF_PROJECT, _IMAGES.status.in_(_STAGED)
)
_COUNT = sa.select(sa.func.count()).select_from(models.images).where(*_IS_OF_PROJECT)
_COUNT_ARRIVING = _COUNT.where(
    sa.or_(_IMAGES.status.in_(_ARRIVING), _IMAGES.import_task_id.is_not(None))
)
_COUNT_DRAFTS = (
    sa.select(sa.func.count())
    .select_from(models.jobs.join(models.tasks, models.tasks.c.id == models.jobs.c.uuid))
    .where(
        models.jobs.c.project == sa.bindparam('this_project', type_=sa.String()),
        models.tasks.c.type == task_domain.IMPORT,
    )
)
