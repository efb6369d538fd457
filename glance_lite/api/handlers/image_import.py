# SPDX-License-Identifier: Apache-2.0
"""Interoperable import: check the request, and in one transaction hand it to the conductors.

Order of the checks: body, image and rights, status, formats, stores, source. After a 202 the image
is ``importing`` for everybody, and its task tells how far it is.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.api import access
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import engine, images, jobs, staged, tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, import_request
from glance_lite.domain.import_request import ImportRequest
from glance_lite.domain.task import Task
from glance_lite.remote.http_source import check_source
from glance_lite.remote.urls import mask_url

LOG = log.getLogger(__name__)

#: The header of the answer that has the task's id.
TASK_HEADER = 'OpenStack-image-import-task-id'
#: The kind of the posted job.
JOB = 'import'


def create_import(request: Request) -> Reply:
    """``POST /v2/images/{image_id}/import``: start the import of an image.

    Answers 202 with the task's id in :data:`TASK_HEADER`, and in ``Location`` the tasks of the
    image, which its owner can read.
    """
    services = request.services
    body = request.read_json()
    wanted = import_request.parse(body, services.conf.enabled_import_methods)
    with services.db.reader() as session:
        image = access.load_image(request, session, 'modify_image')
        _require_importable(session, image, wanted)
    stores = import_request.choose_stores(
        wanted,
        request.headers.get('X-Image-Meta-Store'),
        services.stores.ids,
        services.stores.default_id,
    )
    if wanted.method == import_request.WEB_DOWNLOAD:
        _check_source(request, wanted)
    task = _plan(request, image, wanted, stores, body)
    services.db.transact(lambda session: _start(request, session, task, wanted))
    services.announcer.announce(task.task_id)
    LOG.info(
        'Import of image %s begins: task %s, method %s, stores %s',
        image.image_id,
        task.task_id,
        wanted.method,
        ', '.join(stores),
    )
    return Reply(
        202,
        headers=[
            ('Location', f'{request.base_url}/v2/images/{image.image_id}/tasks'),
            (TASK_HEADER, task.task_id),
        ],
    )


def cancel_import(request: Request) -> Reply:
    """``POST /v2/images/{image_id}/actions/cancel_import``: end the running import of an image.

    Answers 202; the import is undone within seconds, and its task then says ``cancelled``. Asking
    again while it is being undone is the same.

    :raises Conflict: no import of the image runs.
    """
    request.refuse_body()

    def work(session: Session) -> str:
        image = access.load_image(request, session, 'modify_image')
        task_id = image.import_task_id
        if image.status != domain.IMPORTING or task_id is None:
            raise exceptions.Conflict('No import of the image is running.')
        tasks.request_cancel(session, task_id)
        return task_id

    task_id = request.services.db.transact(work)
    return Reply(202, headers=[(TASK_HEADER, task_id)])


def _require_importable(session: Session, image: domain.Image, wanted: ImportRequest) -> None:
    """Raise unless the image is in the state that the method needs.

    :raises ImportRunning: another import holds it.
    :raises StatusConflict: another status, a format not chosen, or nothing staged.
    """
    if image.import_task_id is not None and image.status == domain.IMPORTING:
        raise _running(session, image)
    needed = import_request.NEEDS_STATUS[wanted.method]
    if image.status != needed:
        advice = ''
        if wanted.method == import_request.GLANCE_DIRECT and image.status == domain.QUEUED:
            advice = ' Stage its data first.'
        raise exceptions.StatusConflict(
            f'The method {wanted.method} needs an image in status {needed}, but this one is in '
            f'status {image.status}.{advice}'
        )
    image_rules.require_formats(image, exceptions.StatusConflict)
    if wanted.method == import_request.GLANCE_DIRECT and not staged.get(session, image.image_id):
        raise exceptions.StatusConflict(
            'The data of the image is not staged completely yet; wait until the upload has ended.'
        )


def _check_source(request: Request, wanted: ImportRequest) -> None:
    """Judge the URI and the addresses of its host, as the download will do again.

    :raises InvalidRequest: there is none.
    :raises ImportFailed: ``filtered_uri``.
    """
    if not wanted.uri:
        raise exceptions.InvalidRequest("The method web-download needs the field 'method.uri'.")
    check_source(request.services.url_filter, request.services.http_options, wanted.uri)


def _plan(
    request: Request,
    image: domain.Image,
    wanted: ImportRequest,
    stores: tuple[str, ...],
    body: dict[str, Any],
) -> Task:
    services, context = request.services, request.context
    validation = wanted.validation
    return Task(
        task_id=str(uuid.uuid4()),
        image_id=image.image_id,
        owner=context.owner,
        user_id=context.user_id,
        request_id=context.request_id,
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
            'plugins': list(services.plugins.names),
            'validation': None
            if validation is None
            else {
                'os_hash_algo': validation.os_hash_algo,
                'os_hash_value': validation.os_hash_value,
            },
        },
        caller=context.to_record(),
    )


def _without_secrets(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with the URI as it may be shown and kept in the record."""
    uri = body['method'].get('uri')
    if not isinstance(uri, str):
        return body
    return {**body, 'method': {**body['method'], 'uri': mask_url(uri)}}


def _start(request: Request, session: Session, task: Task, wanted: ImportRequest) -> None:
    """Claim the image and post the job; all of it or nothing.

    :raises StatusConflict: another request was quicker.
    """
    assert task.image_id is not None
    image_id = task.image_id
    needed = import_request.NEEDS_STATUS[wanted.method]
    if not images.hold_for_import(session, image_id, task.task_id, needed):
        image = images.get(session, image_id)
        _require_importable(session, image, wanted)
        raise exceptions.StatusConflict('The image was changed meanwhile; look at it again.')
    area = None
    if wanted.method == import_request.GLANCE_DIRECT:
        data = staged.get(session, image_id)
        if data is None:
            raise exceptions.StatusConflict('The data of the image is not staged completely yet.')
        area = data.area
    seconds = request.services.conf['import'].deadline
    task.deadline_ms = engine.current_ms(session) + seconds * 1000
    tasks.insert(session, task)
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
    jobs.post(session, task.task_id, JOB, {}, area=area)


def _running(session: Session, image: domain.Image) -> exceptions.ImportRunning:
    """Return the conflict with a running import: which task, its phase, its age."""
    assert image.import_task_id is not None
    try:
        task = tasks.get(session, image.import_task_id)
    except exceptions.TaskNotFound:
        return exceptions.ImportRunning('Another import of the image is running.')
    phase = (task.progress or {}).get('phase') or 'waiting for a conductor'
    began = task.created_at or engine.utcnow()
    age = max(datetime.timedelta(), engine.utcnow() - began)
    return exceptions.ImportRunning(
        f'Another import of the image is running: task {task.task_id}, phase {phase}, '
        f'begun {int(age.total_seconds())} seconds ago.'
    )
