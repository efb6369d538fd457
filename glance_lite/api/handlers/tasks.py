# SPDX-License-Identifier: Apache-2.0
"""Tasks: make an image of what a URL has, and see how that and other imports go.

Everything about a request is checked before there is a task; the image is there when the task is a
success, and not before. Who may use tasks at all is one rule, what with them is another.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

from glance_lite import creating, exceptions
from glance_lite.api import attributes, views, waiting
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import task_list, tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as image_domain
from glance_lite.domain import import_request, task_query, task_request, text
from glance_lite.domain.task import Task
from glance_lite.image_import import start

#: The rule that opens the tasks to a caller, before any rule of a call.
ACCESS = 'tasks_api_access'


def create_task(request: Request) -> Reply:
    """``POST /v2/tasks``: begin to make an image of what a URL has.

    Order of the checks: rights, body, image, rights to such an image, stores, source.
    """
    services, context = request.services, request.context
    _require(request, 'add_task', context.owner)
    body = request.read_json(task_request.EXAMPLE)
    wanted = task_request.parse(body, services.conf.image_format.disk_formats)
    image = _new_image(request, wanted)
    creating.require_creation(
        services.policy, services.conf, context, image, services.rules.protection
    )
    stores = import_request.choose_stores(
        import_request.ImportRequest(import_request.WEB_DOWNLOAD),
        request.headers.get('X-Image-Meta-Store'),
        services.stores.ids,
        services.stores.default_id,
    )
    uri = start.check_task_source(services, wanted)
    task = start.start_task(services, context, image, wanted, uri, stores)
    location = f'{request.base_url}/v2/tasks/{task.task_id}'
    return Reply(201, views.task(task), [('Location', location)])


def get_task(request: Request) -> Reply:
    """``GET /v2/tasks/{task_id}``: show a task, with ``?wait=N`` when its status changes."""

    def look() -> tuple[Any, list[Task]]:
        task = request.services.db.read(lambda session: _load(request, session, 'get_task'))
        return views.task(task), [task]

    return waiting.reply(request, look)


def list_tasks(request: Request) -> Reply:
    """``GET /v2/tasks``: show a page of the tasks of the caller's project."""
    context, services = request.context, request.services
    _require(request, 'get_tasks', context.project_id)
    conf = services.conf
    query = task_query.parse(request.query, conf.limit_param_default, conf.api_limit_max)
    page, more = services.db.read(
        lambda session: task_list.list_page(
            session, query, context.project_id, bool(context.is_admin)
        )
    )
    data: dict[str, Any] = {
        'tasks': [views.task_stub(task) for task in page],
        'first': _link(request.query, None),
        'schema': '/v2/schemas/tasks',
    }
    if more:
        data['next'] = _link(request.query, page[-1].task_id)
    return Reply(data=data)


def cancel_task(request: Request) -> Reply:
    """``POST /v2/tasks/{task_id}/actions/cancel``: end a task, which is then undone.

    Answers 202; within seconds the task is a failure that says ``cancelled``. Asking again while it
    is being undone is the same.

    :raises Conflict: the task is final.
    """
    request.refuse_body()

    def work(session: Session) -> Task:
        task = _load(request, session, 'modify_task')
        if not tasks.request_cancel(session, task.task_id):
            raise exceptions.Conflict(f'The task {task.task_id} has ended: {task.status}.')
        return task

    # asked for twice is the same as once
    task = request.services.db.transact(work, done=lambda session: False)
    location = f'{request.base_url}/v2/tasks/{task.task_id}'
    return Reply(202, headers=[('Location', location)])


def _new_image(request: Request, wanted: task_request.TaskRequest) -> image_domain.Image:
    if 'id' in wanted.image_properties:
        raise exceptions.InvalidRequest(
            "'input.image_properties.id' cannot be chosen: the id is in the result of the task."
        )
    image = attributes.new_image(request, wanted.image_properties, "'input.image_properties'")
    task_request.finish_image(image, wanted)
    return image


def _load(request: Request, session: Session, rule: str) -> Task:
    """Return the task that the route names, if the caller may read it and passes the rule."""
    context, task_id = request.context, request.args['task_id']
    _require(request, ACCESS, context.project_id)
    if not text.is_uuid(task_id):
        raise exceptions.TaskNotFound(task_id)
    task = task_list.get(session, task_id, context.project_id, bool(context.is_admin))
    _require(request, rule, task.owner)
    return task


def _require(request: Request, rule: str, owner: str | None) -> None:
    target = {'project_id': owner, 'owner': owner}
    for each in dict.fromkeys((ACCESS, rule)):
        request.services.policy.require(request.context, each, target)


def _link(query: list[tuple[str, str]], marker: str | None) -> str:
    kept = [(name, value) for name, value in query if name != 'marker']
    if marker is not None:
        kept.append(('marker', marker))
    return '/v2/tasks' + ('?' + urllib.parse.urlencode(kept) if kept else '')
