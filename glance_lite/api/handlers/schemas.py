# SPDX-License-Identifier: Apache-2.0
"""The JSON schemas of the resources, for clients that look before they speak."""

from __future__ import annotations

from typing import Any

from glance_lite import exceptions
from glance_lite.api.schemas import images as image_schemas
from glance_lite.api.schemas import members as member_schemas
from glance_lite.api.schemas import tasks as task_schemas
from glance_lite.api.wsgi import Reply, Request


def get_schema(request: Request) -> Reply:
    """``GET /v2/schemas/{name}``: show a schema."""
    formats = request.services.conf.image_format
    image = image_schemas.image_schema(
        tuple(formats.disk_formats),
        tuple(formats.container_formats),
        request.services.rules.properties,
    )
    schemas: dict[str, dict[str, Any]] = {
        'image': image,
        'images': image_schemas.images_schema(image),
        'member': member_schemas.MEMBER,
        'members': image_schemas.page_schema('members', member_schemas.MEMBER),
        'task': task_schemas.TASK,
        'tasks': image_schemas.page_schema('tasks', task_schemas.TASK),
    }
    name = request.args['name']
    if name not in schemas:
        raise exceptions.NotFound(
            f'There is no such schema; the schemas are: {", ".join(schemas)}.'
        )
    return Reply(data=schemas[name])
