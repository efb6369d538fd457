# SPDX-License-Identifier: Apache-2.0
"""The task record: what an import was asked to do, how far it is, and how it ended."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

PENDING = 'pending'
PROCESSING = 'processing'
SUCCESS = 'success'
FAILURE = 'failure'
FINAL = frozenset({SUCCESS, FAILURE})

#: The task type of an interoperable import (the name that clients of the Images API know).
IMAGE_IMPORT = 'api_image_import'
#: That of a location that is registered.
LOCATION_IMPORT = 'location_import'
#: The task type of an import that makes its image when it succeeds.
IMPORT = 'import'
TYPES = (IMPORT, IMAGE_IMPORT, LOCATION_IMPORT)


@dataclasses.dataclass
class Task:
    """One import. ``input`` is the request as given; ``plan`` is what the service made of it.

    ``plan`` has ``method`` (name), ``uri`` (web-download), ``stores`` (ids),
    ``all_stores_must_succeed``, ``plugins`` (names in order; none for copy-image), ``validation``
    (the hash to expect, or None) and ``limits`` (of the project when the import was asked for).
    ``caller`` is the identity without a token. ``progress`` and ``error`` are shown to the owner.

    ``receipts`` tells what each import plugin did: ``plugin``, ``distribution``, ``version``,
    ``outcome``, ``seconds`` and ``note``, in the order in which they ran.

    A task of the type :data:`IMPORT` has in its plan ``source`` (the URL as given) and ``image``:
    what the image is to be, under the id ``image_id``, which nobody is told before it is there.
    ``draft`` is that image as plugins have changed it; None while it is as planned.
    """

    task_id: str
    image_id: str | None
    owner: str | None
    type: str = IMAGE_IMPORT
    status: str = PENDING
    user_id: str | None = None
    request_id: str | None = None
    input: dict[str, Any] = dataclasses.field(default_factory=dict)
    plan: dict[str, Any] = dataclasses.field(default_factory=dict)
    caller: dict[str, Any] = dataclasses.field(default_factory=dict)
    result: dict[str, Any] | None = None
    message: str = ''
    error: dict[str, Any] | None = None
    draft: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    receipts: list[dict[str, Any]] | None = None
    attempts: int = 0
    cancel_requested: bool = False
    deadline_ms: int | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    expires_at: datetime.datetime | None = None


def makes_image(task: Task) -> bool:
    """Tell whether the task makes the image, instead of filling one that is there."""
    return task.type == IMPORT


def waiting(position: int) -> dict[str, Any]:
    """Return the progress of an import that no conductor has begun; 1 is next in the queue."""
    return {
        'phase': 'waiting',
        'plugin': None,
        'bytes_done': 0,
        'bytes_total': None,
        'percent': None,
        'attempt': 0,
        'phases': [],
        'position': position,
    }
