# SPDX-License-Identifier: Apache-2.0
"""The limits of a project, and whether what a request wants of them is still free.

Asked before data is accepted, while it passes, and once more in the transaction that keeps it.
Requests at the same moment may each find the last place free: then they may exceed a limit by as
much as they bring together, and nothing more is accepted.
"""

from __future__ import annotations

from oslo_config import cfg

from glance_lite.db import usage
from glance_lite.db.engine import Session
from glance_lite.domain import quota
from glance_lite.domain.quota import Limit, Limits, Room


def configured(conf: cfg.ConfigOpts) -> Limits:
    """Return the limits that the configuration gives to every project."""
    stored = images = None
    if conf.user_storage_quota:
        stored = Limit('user_storage_quota', conf.user_storage_quota)
    if conf.project_image_quota >= 0:
        images = Limit('project_image_quota', conf.project_image_quota)
    return Limits(stored=stored, staged=stored, images=images, shared=stored is not None)


def used(session: Session, project: str) -> dict[str, int]:
    """Return what a project has of each of ``domain.quota.RESOURCES``, in bytes and images."""
    return {
        quota.STORED: usage.stored_bytes(session, project),
        quota.STAGED: usage.staged_bytes(session, project),
        quota.IMAGES: usage.count_images(session, project),
        quota.ARRIVING: usage.count_arriving(session, project),
    }


def room_to_store(
    session: Session, limits: Limits, project: str | None, copies: int = 1
) -> list[Room]:
    """Return what is left for data in stores; nothing if there is no limit."""
    if limits.stored is None or project is None:
        return []
    return [Room(limits.stored, usage.stored_bytes(session, project), copies)]


def room_to_stage(session: Session, limits: Limits, project: str | None) -> list[Room]:
    """Return what is left for staged data; nothing if there is no limit."""
    if limits.staged is None or project is None:
        return []
    used = usage.staged_bytes(session, project)
    if limits.shared:
        used += usage.stored_bytes(session, project)
    return [Room(limits.staged, used)]


def require_image(session: Session, limits: Limits, project: str | None) -> None:
    """Raise unless a project may have one more image.

    :raises LimitExceeded: it has as many as it may.
    """
    if limits.images is not None and project is not None:
        used = usage.count_images(session, project)
        quota.require_one_more(limits.images, used, 'images')


def require_arrival(session: Session, limits: Limits, project: str | None) -> None:
    """Raise unless the data of one more image of a project may come.

    :raises LimitExceeded: that of as many as may is coming, or waits to be imported.
    """
    if limits.arriving is not None and project is not None:
        used = usage.count_arriving(session, project)
        quota.require_one_more(limits.arriving, used, 'images whose data comes')
