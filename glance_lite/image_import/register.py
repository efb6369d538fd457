# SPDX-License-Identifier: Apache-2.0
"""Begin to register where the data of a queued image lies: one transaction that posts the task.

A task like that of an import, run by the same conductors. Whether the caller may do so, and whether
the URL is permitted, is decided before.
"""

from __future__ import annotations

import uuid
from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.context import RequestContext
from glance_lite.db import images, jobs, tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, import_request, quota
from glance_lite.domain import task as task_domain
from glance_lite.domain.location_request import NewLocation
from glance_lite.domain.task import Task
from glance_lite.image_import import start
from glance_lite.remote.urls import mask_url
from glance_lite.services import Services

LOG = log.getLogger(__name__)


def require_queued(session: Session, image: domain.Image) -> None:
    """Raise unless an image waits for data.

    :raises ImportRunning: an import, or another location, holds it.
    :raises StatusConflict: another status, or a format not chosen.
    """
    start.require_unheld(session, image)
    if image.status != domain.QUEUED:
        raise exceptions.StatusConflict(
            f'A location needs an image in status {domain.QUEUED}, but this one is in status '
            f'{image.status}.'
        )
    image_rules.require_formats(image, exceptions.StatusConflict)


def register_location(
    services: Services,
    caller: RequestContext,
    image: domain.Image,
    store_id: str,
    wanted: NewLocation,
) -> Task:
    """Claim the image, post the task and announce it; all of it or nothing. Return the task.

    :raises ImportRunning, StatusConflict: another request was quicker.
    :raises LimitExceeded: as many tasks of the project wait and run as may, or it has no room for
        the data.
    """
    limits = services.limits_of(image.owner, quota.STORED, quota.ARRIVING)
    task = _plan(services, caller, image, store_id, wanted)
    task.plan['limits'] = limits.to_record()
    conf = services.conf['import']

    def work(session: Session) -> None:
        start.require_place(session, conf.max_unfinished_per_project, task.owner)
        start.require_room(session, limits, image, 1)
        _post(session, task, conf.deadline)
        if services.plugins.names:
            images.set_properties(session, image.image_id, {domain.UNCHECKED: 'location'})

    services.db.transact(
        work,
        done=lambda session: start.is_posted(session, task),
    )
    services.announcer.announce(task.task_id)
    LOG.info('Location of image %s in store %s: task %s', image.image_id, store_id, task.task_id)
    return task


def _plan(
    services: Services,
    caller: RequestContext,
    image: domain.Image,
    store_id: str,
    wanted: NewLocation,
) -> Task:
    validation: dict[str, Any] | None = None
    if wanted.validation is not None:
        validation = {
            'os_hash_algo': wanted.validation.os_hash_algo,
            'os_hash_value': wanted.validation.os_hash_value,
        }
    return Task(
        task_id=str(uuid.uuid4()),
        image_id=image.image_id,
        owner=caller.owner,
        type=task_domain.LOCATION_IMPORT,
        user_id=caller.user_id,
        request_id=caller.request_id,
        input={
            'image_id': image.image_id,
            'loc_url': mask_url(wanted.url),
            'validation_data': validation or {},
        },
        plan={
            'method': import_request.LOCATION,
            'uri': wanted.url,
            'store': store_id,
            'stores': [],  # nothing is written to any
            'plugins': [],
            'do_secure_hash': services.conf.do_secure_hash,
            'validation': validation,
        },
        caller=caller.to_record(),
    )


def _post(session: Session, task: Task, seconds: int) -> None:
    assert task.image_id is not None
    image_id = task.image_id
    if not images.hold_for_import(session, image_id, task.task_id, domain.QUEUED):
        require_queued(session, images.get(session, image_id))
        raise exceptions.StatusConflict('The image was changed meanwhile; look at it again.')
    tasks.insert(session, task, deadline_in=seconds)
    images.set_properties(
        session,
        image_id,
        {
            domain.IMPORT_TASK: task.task_id,
            domain.FAILED_IMPORT: None,
            domain.IMPORT_ERROR: None,
        },
    )
    jobs.post(session, task.task_id, start.JOB, {}, project=task.owner)
