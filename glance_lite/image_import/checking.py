# SPDX-License-Identifier: Apache-2.0
"""Locations that an active image was given by a patch: a task finds out whether they are its data.

Meanwhile the task holds the image, so that its locations stay as they are. The plan has ``urls``,
what is looked at in order; ``unread``, those of them that nobody reads before; ``became_active``,
whether the image has no others; and ``given``, whether the caller said what the hash is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from glance_lite import exceptions
from glance_lite.context import RequestContext
from glance_lite.db import images, jobs, tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import import_request
from glance_lite.domain import task as task_domain
from glance_lite.domain.task import Task
from glance_lite.image_import import start
from glance_lite.remote.urls import mask_url


def plan_check(
    caller: RequestContext,
    image: domain.Image,
    added: list[str],
    became_active: bool,
    hashes: Mapping[str, str],
) -> Task:
    """Return the task that looks at the URLs ``added``, which the image has already.

    :param became_active: they are the first locations of the image.
    :param hashes: what the caller said of the data.
    """
    urls, unread = list(added), added[1:] if became_active else list(added)
    if not became_active and image.os_hash_value is None:  # to have something to compare with
        urls.insert(0, next(place.url for place in image.locations if place.url not in added))
    return Task(
        task_id=str(uuid.uuid4()),
        image_id=image.image_id,
        owner=caller.owner,
        type=task_domain.LOCATION_IMPORT,
        user_id=caller.user_id,
        request_id=caller.request_id,
        input={
            'image_id': image.image_id,
            'loc_urls': [mask_url(url) for url in added],
            'validation_data': dict(hashes),
        },
        plan={
            'method': import_request.CHECK,
            'stores': [],  # nothing is written to any
            'plugins': [],
            'validation': None,
            'urls': urls,
            'unread': unread,
            'became_active': became_active,
            'given': bool(hashes),
        },
        caller=caller.to_record(),
    )


def post(session: Session, task: Task, limit: int, seconds: int) -> None:
    """Have conductors run the task, which holds the image from now on.

    :param limit: imports of the project that may wait and run.
    :param seconds: until the deadline.
    :raises LimitExceeded: as many wait and run already.
    :raises StatusConflict: another task holds the image.
    """
    assert task.image_id is not None
    start.require_place(session, limit, task.owner)
    if not images.hold_for_import(
        session, task.image_id, task.task_id, domain.ACTIVE, domain.ACTIVE
    ):
        raise exceptions.StatusConflict('The image was changed meanwhile; look at it again.')
    tasks.insert(session, task, deadline_in=seconds)
    images.set_properties(
        session, task.image_id, {domain.IMPORT_TASK: task.task_id, domain.IMPORT_ERROR: None}
    )
    jobs.post(session, task.task_id, start.JOB, {}, project=task.owner)


def readable(session: Session, image: domain.Image) -> list[domain.Location]:
    """Return the locations of an image from which its data may be read now."""
    if image.import_task_id is None:
        return image.locations
    try:
        plan = tasks.get(session, image.import_task_id).plan
    except exceptions.TaskNotFound:
        return image.locations
    return _without(image.locations, plan.get('unread', ()))


def abandon(session: Session, task: Task, error: Mapping[str, Any]) -> None:
    """Take from the image what was not found to be its data.

    An image that has nothing else is deactivated if its data is refused, or was not compared with
    the hash that its owner gave.
    """
    assert task.image_id is not None
    try:
        image = images.get(session, task.image_id)
    except exceptions.ImageNotFound:
        return
    left = _without(image.locations, task.plan['unread'])
    images.set_locations(session, image.image_id, left)
    if task.plan['became_active'] and (error['refused'] or task.plan['given']):
        images.update(session, image.image_id, from_status=domain.ACTIVE, status=domain.DEACTIVATED)


def _without(places: Iterable[domain.Location], urls: Iterable[str]) -> list[domain.Location]:
    left_out = set(urls)
    return [place for place in places if place.url not in left_out]
