# SPDX-License-Identifier: Apache-2.0
"""The table of the API: path, method, handler."""

from __future__ import annotations

from glance_lite.api.handlers import (
    discovery,
    image_actions,
    image_data,
    image_import,
    image_tasks,
    images,
    images_v1,
    locations,
    members,
    openapi,
    schemas,
    tags,
    tasks,
)
from glance_lite.api.wsgi import RouteTable

#: Everything behind the token check.
ROUTES: RouteTable = {
    '/v1/images/detail': {'GET': images_v1.list_images_v1},
    '/v2/images': {'GET': images.list_images, 'POST': images.create_image},
    '/v2/images/{image_id}': {
        'GET': images.get_image,
        'PATCH': images.update_image,
        'DELETE': images.delete_image,
    },
    '/v2/images/{image_id}/file': {
        'GET': image_data.download_data,
        'PUT': image_data.upload_data,
    },
    '/v2/images/{image_id}/actions/deactivate': {'POST': image_actions.deactivate_image},
    '/v2/images/{image_id}/actions/reactivate': {'POST': image_actions.reactivate_image},
    '/v2/images/{image_id}/members': {'GET': members.list_members, 'POST': members.add_member},
    '/v2/images/{image_id}/members/{member_id}': {
        'GET': members.get_member,
        'PUT': members.update_member,
        'DELETE': members.delete_member,
    },
    '/v2/images/{image_id}/tags/{value}': {'PUT': tags.add_tag, 'DELETE': tags.delete_tag},
    '/v2/images/{image_id}/tasks': {'GET': image_tasks.list_image_tasks},
    '/v2/images/{image_id}/locations': {
        'GET': locations.list_locations,
        'POST': locations.add_location,
    },
    '/v2/stores/{store_id}/{image_id}': {'DELETE': locations.delete_from_store},
    '/v2/info/stores': {'GET': discovery.list_stores},
    '/v2/info/stores/detail': {'GET': discovery.list_stores_detail},
    '/v2/info/usage': {'GET': discovery.get_usage},
    '/v2/openapi.json': {'GET': openapi.get_openapi},
    '/v2/schemas/{name}': {'GET': schemas.get_schema},
}

#: Importing; absent when ``enable_image_import`` is off.
IMPORT_ROUTES: RouteTable = {
    '/v2/images/{image_id}/stage': {'PUT': image_data.stage_data},
    '/v2/images/{image_id}/import': {'POST': image_import.create_import},
    '/v2/images/{image_id}/actions/cancel_import': {'POST': image_import.cancel_import},
    '/v2/tasks': {'GET': tasks.list_tasks, 'POST': tasks.create_task},
    '/v2/tasks/{task_id}': {'GET': tasks.get_task},
    '/v2/tasks/{task_id}/actions/cancel': {'POST': tasks.cancel_task},
    '/v2/info/import': {'GET': discovery.get_import_methods},
}


def table(import_enabled: bool) -> RouteTable:
    """Return the routes of this deployment."""
    return {**ROUTES, **IMPORT_ROUTES} if import_enabled else dict(ROUTES)
