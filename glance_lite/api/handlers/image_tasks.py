# SPDX-License-Identifier: Apache-2.0
"""The tasks of an image: how its imports go and how they ended."""

from __future__ import annotations

from typing import Any

from glance_lite.api import access, views, waiting
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import tasks
from glance_lite.db.engine import Session
from glance_lite.domain.task import Task


def list_image_tasks(request: Request) -> Reply:
    """``GET /v2/images/{image_id}/tasks``: show the tasks of an image, the oldest first.

    With ``?wait=N`` when the status of one of them changes.
    """

    def work(session: Session) -> list[Task]:
        image = access.load_image(request, session, 'get_image')
        return tasks.list_for_image(session, image.image_id)

    def look() -> tuple[Any, list[Task]]:
        found = request.services.db.read(work)
        return {'tasks': [views.image_task(task) for task in found]}, found

    return waiting.reply(request, look)
