# SPDX-License-Identifier: Apache-2.0
"""The tasks of an image: how its imports go and how they ended."""

from __future__ import annotations

from glance_lite.api import access, views
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import tasks


def list_tasks(request: Request) -> Reply:
    """``GET /v2/images/{image_id}/tasks``: show the tasks of an image, the oldest first."""
    with request.services.db.reader() as session:
        image = access.load_image(request, session, 'get_image')
        found = tasks.list_for_image(session, image.image_id)
    return Reply(data={'tasks': [views.image_task(task) for task in found]})
