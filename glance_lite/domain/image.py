# SPDX-License-Identifier: Apache-2.0
"""The image record, its statuses, and which status may follow which."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

QUEUED = 'queued'
SAVING = 'saving'
UPLOADING = 'uploading'
IMPORTING = 'importing'
ACTIVE = 'active'
DEACTIVATED = 'deactivated'
KILLED = 'killed'
DELETED = 'deleted'
PENDING_DELETE = 'pending_delete'

#: From a status to the statuses that may follow it (Images API v2, "Image status transitions").
TRANSITIONS: dict[str, frozenset[str]] = {
    QUEUED: frozenset({SAVING, UPLOADING, IMPORTING, ACTIVE, DELETED}),
    SAVING: frozenset({ACTIVE, KILLED, DELETED, QUEUED}),
    UPLOADING: frozenset({IMPORTING, QUEUED, DELETED}),
    # back to uploading: a failed import of staged data that may be tried again
    IMPORTING: frozenset({ACTIVE, DELETED, QUEUED, UPLOADING}),
    ACTIVE: frozenset({PENDING_DELETE, DELETED, DEACTIVATED}),
    DEACTIVATED: frozenset({ACTIVE, DELETED, PENDING_DELETE}),
    KILLED: frozenset({DELETED}),
    PENDING_DELETE: frozenset({DELETED, ACTIVE, DEACTIVATED}),
    DELETED: frozenset(),
}

#: Statuses of images whose data is published.
HAS_DATA = frozenset({ACTIVE, DEACTIVATED})

VISIBILITIES = ('public', 'community', 'shared', 'private')

#: Attributes of every image that are not custom properties, as the API names them.
BASE_ATTRIBUTES = frozenset(
    {
        'id',
        'name',
        'status',
        'visibility',
        'protected',
        'os_hidden',
        'owner',
        'checksum',
        'os_hash_algo',
        'os_hash_value',
        'size',
        'virtual_size',
        'disk_format',
        'container_format',
        'min_disk',
        'min_ram',
        'tags',
        'created_at',
        'updated_at',
        'self',
        'file',
        'schema',
        'direct_url',
        'locations',
        'stores',
    }
)

#: Attributes that no request may set.
READ_ONLY_ATTRIBUTES = frozenset(
    {
        'status',
        'checksum',
        'os_hash_algo',
        'os_hash_value',
        'size',
        'virtual_size',
        'created_at',
        'updated_at',
        'self',
        'file',
        'schema',
        'direct_url',
        'stores',
    }
)

#: Names that neither a base attribute nor a custom property may have.
RESERVED_ATTRIBUTES = frozenset({'location', 'deleted', 'deleted_at', 'locations'})

#: Custom properties whose names begin so are written by the service alone.
RESERVED_PREFIX = 'os_glance'

IMPORT_TASK = 'os_glance_import_task'
IMPORTING_TO_STORES = 'os_glance_importing_to_stores'
FAILED_IMPORT = 'os_glance_failed_import'
IMPORT_ERROR = 'os_glance_import_error'
#: How an image came past the import plugins: ``upload`` or ``location``.
UNCHECKED = 'os_glance_unchecked'
#: The format of the content where it is another one than declared, such as a qcow2 called raw.
CONTENT_FORMAT = 'os_glance_content_format'


@dataclasses.dataclass
class Location:
    """Where a copy of the data rests: the store's id and the store's own URL for it."""

    store: str
    url: str
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Image:
    """An image as the service knows it. Sizes in bytes, ``min_disk`` in GB, ``min_ram`` in MB.

    ``import_task_id`` names the task whose import holds the image, if any. ``properties`` holds
    the custom ones and those of the service (``os_glance_*``).
    """

    image_id: str
    name: str | None = None
    status: str = QUEUED
    visibility: str = 'shared'
    protected: bool = False
    os_hidden: bool = False
    owner: str | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    import_task_id: str | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    properties: dict[str, str] = dataclasses.field(default_factory=dict)
    locations: list[Location] = dataclasses.field(default_factory=list)


#: What a record of an image that is not in the database yet keeps.
_DRAFTED = (
    'name',
    'visibility',
    'protected',
    'os_hidden',
    'owner',
    'size',
    'virtual_size',
    'disk_format',
    'container_format',
    'min_disk',
    'min_ram',
    'tags',
    'properties',
)


def to_draft(image: Image) -> dict[str, Any]:
    """Return as JSON data what an image will be that a task is to make."""
    return {name: getattr(image, name) for name in _DRAFTED}


def from_draft(image_id: str, draft: dict[str, Any]) -> Image:
    """Return the image of :func:`to_draft`, as one that is being imported."""
    image = Image(image_id, status=IMPORTING, **draft)
    image.tags, image.properties = list(image.tags), dict(image.properties)
    return image


def may_follow(old: str, new: str) -> bool:
    """Tell whether an image in status ``old`` may get status ``new``."""
    return new in TRANSITIONS.get(old, frozenset())


def is_visible_to(image: Image, project_id: str | None, is_admin: bool) -> bool:
    """Tell whether a project can see the image without being a member of it."""
    if is_admin or image.visibility in ('public', 'community'):
        return True
    return image.owner is not None and image.owner == project_id
