# SPDX-License-Identifier: Apache-2.0
"""From domain objects to what the API shows. No decision about who may see what is made here."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from glance_lite.domain import quota
from glance_lite.domain import task as task_domain
from glance_lite.domain.image import Image, Location
from glance_lite.domain.member import Member
from glance_lite.domain.quota import Limits
from glance_lite.domain.task import Task

#: Properties of the service's own that nobody sees.
HIDDEN_PROPERTIES = frozenset({'os_glance_stage_host', 'os_glance_hash_op_host'})


def time(value: datetime.datetime | None) -> str | None:
    """Return a UTC time as the API writes it: ``YYYY-MM-DDTHH:MM:SSZ``."""
    return None if value is None else value.isoformat(timespec='seconds') + 'Z'


def image(item: Image) -> dict[str, Any]:
    """Return an image as JSON data, without where its data rests."""
    path = f'/v2/images/{item.image_id}'
    shown: dict[str, Any] = _shown_properties(item)
    shown.update(
        name=item.name,
        disk_format=item.disk_format,
        container_format=item.container_format,
        visibility=item.visibility,
        size=item.size,
        virtual_size=item.virtual_size,
        status=item.status,
        checksum=item.checksum,
        protected=item.protected,
        min_ram=item.min_ram,
        min_disk=item.min_disk,
        owner=item.owner,
        os_hidden=item.os_hidden,
        os_hash_algo=item.os_hash_algo,
        os_hash_value=item.os_hash_value,
        id=item.image_id,
        created_at=time(item.created_at),
        updated_at=time(item.updated_at),
        tags=item.tags,
        self=path,
        file=path + '/file',
        schema='/v2/schemas/image',
    )
    if item.locations:
        shown['stores'] = ','.join(dict.fromkeys(place.store for place in item.locations))
    return shown


def image_v1(item: Image, base_url: str) -> dict[str, Any]:
    """Return an image as the Images API v1 showed it, in which every image has a size."""
    return {
        'id': item.image_id,
        'uri': f'{base_url}/v2/images/{item.image_id}',
        'name': item.name,
        'status': item.status,
        'disk_format': item.disk_format,
        'container_format': item.container_format,
        'size': item.size or 0,
        'virtual_size': item.virtual_size,
        'checksum': item.checksum,
        'is_public': item.visibility == 'public',
        'protected': item.protected,
        'owner': item.owner,
        'min_disk': item.min_disk,
        'min_ram': item.min_ram,
        'created_at': _time_v1(item.created_at),
        'updated_at': _time_v1(item.updated_at),
        'deleted_at': None,
        'deleted': False,
        'properties': _shown_properties(item),
    }


def location(item: Location) -> dict[str, Any]:
    """Return a place of an image's data as JSON data."""
    return {'url': item.url, 'metadata': {**item.metadata, 'store': item.store}}


def member(item: Member) -> dict[str, Any]:
    """Return a member of an image as JSON data."""
    return {
        'member_id': item.member_id,
        'image_id': item.image_id,
        'status': item.status,
        'created_at': time(item.created_at),
        'updated_at': time(item.updated_at),
        'schema': '/v2/schemas/member',
    }


def image_task(task: Task) -> dict[str, Any]:
    """Return a task as the owner of its image sees it.

    ``progress`` and ``error`` are additions to what Glance shows; times are in UTC with ``Z``.
    """
    return {
        'id': task.task_id,
        'type': task.type,
        'status': task.status,
        'owner': task.owner,
        'expires_at': time(task.expires_at),
        'created_at': time(task.created_at),
        'updated_at': time(task.updated_at),
        'deleted_at': None,
        'deleted': False,
        'image_id': task.image_id,
        'request_id': task.request_id,
        'user_id': task.user_id,
        'input': task.input,
        'result': task.result,
        'message': task.message,
        'progress': task.progress,
        'receipts': task.receipts or [],
        'error': _error(task.error),
    }


def task_stub(item: Task) -> dict[str, Any]:
    """Return a task as lists show it."""
    shown = {
        'id': item.task_id,
        'type': item.type,
        'status': item.status,
        'owner': item.owner,
        'created_at': time(item.created_at),
        'updated_at': time(item.updated_at),
        'self': f'/v2/tasks/{item.task_id}',
        'schema': '/v2/schemas/task',
    }
    if item.expires_at is not None:
        shown['expires_at'] = time(item.expires_at)
    return shown


def task(item: Task) -> dict[str, Any]:
    """Return a task as its owner sees it.

    The image of a task that is to make one has no id to be shown before it is there.
    """
    is_there = not task_domain.makes_image(item) or item.status == task_domain.SUCCESS
    return {
        **task_stub(item),
        'input': item.input,
        'result': item.result,
        'message': item.message,
        'image_id': item.image_id if is_there else None,
        'request_id': item.request_id,
        'user_id': item.user_id,
        'progress': item.progress,
        'receipts': item.receipts or [],
        'error': _error(item.error),
    }


def usage(limits: Limits, used: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return what a project has and may have, by the names and in the units of the API.

    :param used: bytes and images, by the names of ``domain.quota``.
    """
    shown = {}
    for kind, (name, unit) in quota.RESOURCES.items():
        limit = getattr(limits, kind)
        shown[name] = {
            'limit': -1 if limit is None else limit.most // unit,
            'usage': -(-used[kind] // unit),
        }
    return shown


def _error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the owner sees of a task's error; the rest is for the conductors."""
    if error is None:
        return None
    return {name: value for name, value in error.items() if name != 'refused'}


def _shown_properties(item: Image) -> dict[str, Any]:
    return {name: value for name, value in item.properties.items() if name not in HIDDEN_PROPERTIES}


def _time_v1(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec='microseconds')
