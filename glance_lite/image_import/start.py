# SPDX-License-Identifier: Apache-2.0
"""Begin an import: is the image ready for it, what is the plan, and one transaction that posts it.

Whether the caller may do so is decided before. TaskFlow, which is slow to load, has no place here:
it is the conductors' business.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from oslo_log import log

from glance_lite import exceptions, quotas
from glance_lite.context import RequestContext
from glance_lite.db import engine, images, jobs, staged, tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, import_request, quota, task_request
from glance_lite.domain import task as task_domain
from glance_lite.domain.import_request import COPY_IMAGE, ImportRequest
from glance_lite.domain.quota import Budget, Limits
from glance_lite.domain.task import Task
from glance_lite.domain.task_request import TaskRequest
from glance_lite.remote import http_source, swift_source
from glance_lite.remote.url_filter import UrlRefused
from glance_lite.remote.urls import mask_url
from glance_lite.services import Services

LOG = log.getLogger(__name__)

#: The kind of the posted job.
JOB = 'import'


def require_importable(session: Session, image: domain.Image, wanted: ImportRequest) -> None:
    """Raise unless the image is in the state that the method needs.

    Whether its data is staged completely is asked when the import is posted.

    :raises ImportRunning: another import holds it.
    :raises StatusConflict: another status, or a format not chosen.
    """
    needed = import_request.NEEDS_STATUS[wanted.method]
    if image.import_task_id is not None and image.status in (domain.IMPORTING, needed):
        raise _running(session, image)
    if image.status != needed:
        advice = ''
        if wanted.method == import_request.GLANCE_DIRECT and image.status == domain.QUEUED:
            advice = ' Stage its data first.'
        raise exceptions.StatusConflict(
            f'The method {wanted.method} needs an image in status {needed}, but this one is in '
            f'status {image.status}.{advice}'
        )
    image_rules.require_formats(image, exceptions.StatusConflict)


def require_unheld(session: Session, image: domain.Image) -> None:
    """Raise while an import holds an image, in whatever status.

    :raises ImportRunning: one does.
    """
    if image.import_task_id is not None:
        raise _running(session, image)


def may_cancel(session: Session, image: domain.Image) -> bool:
    """Tell whether an import holds an image and has not published anything yet, as far as known.

    An image that became active is held a little longer, while its import clears up.
    """
    if image.import_task_id is None or image.status == domain.IMPORTING:
        return image.import_task_id is not None
    return bool(tasks.get(session, image.import_task_id).plan['method'] == COPY_IMAGE)


def check_source(services: Services, wanted: ImportRequest) -> None:
    """Judge the URI and the addresses of its host, as the download will do again.

    :raises InvalidRequest: the method needs one, and there is none.
    :raises ImportFailed: ``filtered_uri``.
    """
    if wanted.method != import_request.WEB_DOWNLOAD:
        return
    if not wanted.uri:
        raise exceptions.InvalidRequest("The method web-download needs the field 'method.uri'.")
    http_source.check_source(services.url_filter, services.http_options, wanted.uri)


def check_task_source(services: Services, wanted: TaskRequest) -> str:
    """Judge the source of a task as :func:`check_source` does; return the URI to fetch.

    :raises ImportFailed: ``filtered_uri``, naming the field.
    """
    try:
        uri = wanted.source
        if wanted.scheme == task_request.SWIFT:
            conf = services.conf.task
            uri = swift_source.to_http(uri, conf.swift_scheme, conf.swift_path)
        http_source.check_source(services.url_filter, services.http_options, uri)
    except UrlRefused as error:
        raise exceptions.ImportFailed(
            error.code, f"'input.import_from': {error.message}", retryable=error.retryable
        ) from None
    return uri


def start_task(
    services: Services,
    caller: RequestContext,
    image: domain.Image,
    wanted: TaskRequest,
    uri: str,
    stores: tuple[str, ...],
) -> Task:
    """Post a task that makes an image, and announce it; all of it or nothing. Return it.

    :param image: what is to be made; its id is told to nobody before it is there.
    :param uri: what :func:`check_task_source` returned.
    :raises LimitExceeded: the project has as many images, or unfinished imports, as it may, or no
        room for the data.
    """
    limits = services.limits_of(
        image.owner, quota.STORED, quota.STAGED, quota.IMAGES, quota.ARRIVING
    )
    task = Task(
        type=task_domain.IMPORT,
        task_id=str(uuid.uuid4()),
        image_id=image.image_id,
        owner=caller.owner,
        user_id=caller.user_id,
        request_id=caller.request_id,
        input={
            'import_from': mask_url(wanted.source),
            'import_from_format': wanted.disk_format,
            'image_properties': wanted.image_properties,
        },
        plan={
            'method': import_request.WEB_DOWNLOAD,
            'source': wanted.source,
            'uri': uri,
            'image': domain.to_draft(image),
            'stores': list(stores),
            'all_stores_must_succeed': True,
            'plugins': list(services.plugins.names),
            'validation': None,
            'limits': limits.to_record(),
        },
        caller=caller.to_record(),
    )
    conf = services.conf['import']

    def post(session: Session) -> None:
        require_place(session, conf.max_unfinished_per_project, task.owner)
        quotas.require_image(session, limits, image.owner)
        require_room(session, limits, image, len(stores))
        tasks.insert(session, task, deadline_in=conf.deadline)
        jobs.post(session, task.task_id, JOB, {}, project=task.owner)

    services.db.transact(post, done=lambda session: is_posted(session, task))
    services.announcer.announce(task.task_id)
    services.notifier.task('create', task)
    LOG.info(
        'Task %s begins to make image %s of %s, stores %s',
        task.task_id,
        task.image_id,
        task.input['import_from'],
        ', '.join(stores),
    )
    return task


def start_import(
    services: Services,
    caller: RequestContext,
    image: domain.Image,
    wanted: ImportRequest,
    stores: tuple[str, ...],
    body: dict[str, Any],
) -> Task:
    """Claim the image, post the import and announce it; all of it or nothing. Return its task.

    :param body: the request as it came; kept without the secrets of its URI.
    :raises ImportRunning: another request was quicker.
    :raises StatusConflict: the image is not ready for it any more.
    :raises LimitExceeded: as many imports of the project wait and run as may, or it has no room for
        the data.
    """
    limits = services.limits_of(image.owner, quota.STORED, quota.STAGED, quota.ARRIVING)
    task = _plan(services, caller, image, wanted, stores, body)
    task.plan['limits'] = limits.to_record()
    conf = services.conf['import']

    def work(session: Session) -> None:
        require_place(session, conf.max_unfinished_per_project, task.owner)
        require_room(session, limits, image, len(stores))
        _post(session, task, wanted, conf.deadline)

    services.db.transact(
        work,
        done=lambda session: is_posted(session, task),
    )
    services.announcer.announce(task.task_id)
    services.notifier.task('create', task)
    LOG.info(
        'Import of image %s begins: task %s, method %s, stores %s',
        image.image_id,
        task.task_id,
        wanted.method,
        ', '.join(stores),
    )
    return task


def require_place(session: Session, limit: int, project: str | None) -> None:
    """Raise if a project may have no further import; a limit of 0 is none.

    Requests at the same moment may each find the last place free, and take it.

    :raises LimitExceeded: as many of it wait and run as may.
    """
    if limit and project is not None and jobs.count_of_project(session, project) >= limit:
        raise exceptions.LimitExceeded(
            f'{limit} imports of the project wait or run, and no more may; try again when one '
            'has ended.'
        )


def require_room(session: Session, limits: Limits, image: domain.Image, copies: int) -> None:
    """Raise unless the data of an image may come, and its copies fit as far as its size is known.

    :raises LimitExceeded: the project of the image has as much as it may.
    """
    if image.status != domain.UPLOADING:  # else it counts since it was staged
        quotas.require_arrival(session, limits, image.owner)
    Budget(quotas.room_to_store(session, limits, image.owner, copies)).require(image.size)


def _plan(
    services: Services,
    caller: RequestContext,
    image: domain.Image,
    wanted: ImportRequest,
    stores: tuple[str, ...],
    body: dict[str, Any],
) -> Task:
    validation = wanted.validation
    return Task(
        task_id=str(uuid.uuid4()),
        image_id=image.image_id,
        owner=caller.owner,
        user_id=caller.user_id,
        request_id=caller.request_id,
        input={
            'image_id': image.image_id,
            'import_req': _without_secrets(body),
            'backend': list(stores),
        },
        plan={
            'method': wanted.method,
            'uri': wanted.uri,
            'stores': list(stores),
            'all_stores_must_succeed': wanted.all_stores_must_succeed,
            'plugins': [] if wanted.method == COPY_IMAGE else list(services.plugins.names),
            'validation': None
            if validation is None
            else {
                'os_hash_algo': validation.os_hash_algo,
                'os_hash_value': validation.os_hash_value,
            },
        },
        caller=caller.to_record(),
    )


def _without_secrets(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with the URI as it may be shown and kept in the record."""
    uri = body['method'].get('uri')
    if not isinstance(uri, str):
        return body
    return {**body, 'method': {**body['method'], 'uri': mask_url(uri)}}


def _post(session: Session, task: Task, wanted: ImportRequest, seconds: int) -> None:
    assert task.image_id is not None
    image_id = task.image_id
    needed = import_request.NEEDS_STATUS[wanted.method]
    new = domain.ACTIVE if wanted.method == COPY_IMAGE else domain.IMPORTING
    if not images.hold_for_import(session, image_id, task.task_id, needed, new):
        image = images.get(session, image_id)
        require_importable(session, image, wanted)
        raise _changed()
    if wanted.method == COPY_IMAGE:
        places = {location.store for location in images.get(session, image_id).locations}
        if not places.isdisjoint(task.plan['stores']):
            raise _changed()
    area = None
    if wanted.method == import_request.GLANCE_DIRECT:
        data = staged.get(session, image_id)
        if data is None:
            raise exceptions.StatusConflict(
                'The data of the image is not staged completely yet; wait until the upload has '
                'ended.'
            )
        area = data.area
    tasks.insert(session, task, deadline_in=seconds)
    images.set_properties(
        session,
        image_id,
        {
            domain.IMPORT_TASK: task.task_id,
            domain.IMPORTING_TO_STORES: ','.join(task.plan['stores']),
            domain.FAILED_IMPORT: None,
            domain.IMPORT_ERROR: None,
        },
    )
    jobs.post(session, task.task_id, JOB, {}, area=area, project=task.owner)


def _changed() -> exceptions.StatusConflict:
    return exceptions.StatusConflict('The image was changed meanwhile; look at it again.')


def is_posted(session: Session, task: Task) -> bool:
    """Tell whether a task was committed."""
    try:
        tasks.get(session, task.task_id)
    except exceptions.TaskNotFound:
        return False
    return True


def _running(session: Session, image: domain.Image) -> exceptions.ImportRunning:
    """Return the conflict with a running import: which task, its phase, its age."""
    assert image.import_task_id is not None
    try:
        task = tasks.get(session, image.import_task_id)
    except exceptions.TaskNotFound:
        return exceptions.ImportRunning('Another import of the image is running.')
    phase = (task.progress or {}).get('phase', 'waiting')
    if phase == 'waiting':
        phase = 'waiting for a conductor'
    began = task.created_at or engine.utcnow()
    age = max(datetime.timedelta(), engine.utcnow() - began)
    return exceptions.ImportRunning(
        f'Another import of the image is running: task {task.task_id}, phase {phase}, '
        f'begun {int(age.total_seconds())} seconds ago.'
    )
