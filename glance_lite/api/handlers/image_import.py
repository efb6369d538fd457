# SPDX-License-Identifier: Apache-2.0
"""Interoperable import: check the request, and hand it to the conductors.

Order of the checks: body, image and rights, status, formats, stores, source. After a 202 the image
is ``importing`` for everybody, and its task tells how far it is.
"""

from __future__ import annotations

from glance_lite import exceptions
from glance_lite.api import access
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import import_request
from glance_lite.domain.import_request import ImportRequest
from glance_lite.image_import import start

#: The header of the answer that has the task's id.
TASK_HEADER = 'OpenStack-image-import-task-id'


def create_import(request: Request) -> Reply:
    """``POST /v2/images/{image_id}/import``: start the import of an image.

    Answers 202 with the task's id in :data:`TASK_HEADER`, and in ``Location`` the tasks of the
    image, which its owner can read.
    """
    services = request.services
    body = request.read_json()
    wanted = import_request.parse(body, services.conf.enabled_import_methods)
    image = services.db.read(lambda session: _load(request, session, wanted))
    stores = import_request.choose_stores(
        wanted,
        request.headers.get('X-Image-Meta-Store'),
        services.stores.ids,
        services.stores.default_id,
        [store.store_id for store in services.stores if store.read_only],
    )
    if wanted.method == import_request.COPY_IMAGE:
        stores = import_request.lacking_stores(wanted, stores, image)
        if not stores:  # all have it: there is no task
            return Reply(202, headers=[_tasks_of(request, image)])
    start.check_source(services, wanted)
    task = start.start_import(services, request.context, image, wanted, stores, body)
    return Reply(
        202,
        headers=[_tasks_of(request, image), (TASK_HEADER, task.task_id)],
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
        if task_id is None or not start.may_cancel(session, image):
            raise exceptions.Conflict('No import of the image is running.')
        tasks.request_cancel(session, task_id)
        return task_id

    # asked for twice is the same as once
    task_id = request.services.db.transact(work, done=lambda session: False)
    return Reply(202, headers=[(TASK_HEADER, task_id)])


def _tasks_of(request: Request, image: domain.Image) -> tuple[str, str]:
    return 'Location', f'{request.base_url}/v2/images/{image.image_id}/tasks'


def _load(request: Request, session: Session, wanted: ImportRequest) -> domain.Image:
    rule = 'copy_image' if wanted.method == import_request.COPY_IMAGE else 'modify_image'
    image = access.load_image(request, session, rule)
    start.require_importable(session, image, wanted)
    return image
