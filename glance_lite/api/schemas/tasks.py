# SPDX-License-Identifier: Apache-2.0
"""The schema of a task."""

from __future__ import annotations

from typing import Any

from glance_lite.api.schemas.images import UUID
from glance_lite.domain import task as domain

_TIME = {'type': 'string', 'format': 'date-time'}
_LATER = {'type': ['null', 'string'], 'format': 'date-time'}

TASK: dict[str, Any] = {
    'name': 'task',
    'properties': {
        'id': {'type': 'string', 'pattern': UUID, 'description': 'The id of the task.'},
        'type': {
            'type': 'string',
            'enum': [*domain.TYPES],
            'description': 'What the task does.',
        },
        'status': {
            'type': 'string',
            'enum': [domain.PENDING, domain.PROCESSING, domain.SUCCESS, domain.FAILURE],
            'description': 'Where the task is in its life.',
        },
        'input': {'type': ['null', 'object'], 'description': 'The request as it was given.'},
        'result': {'type': ['null', 'object'], 'description': 'What a successful task made.'},
        'owner': {'type': ['null', 'string'], 'description': 'The project of the caller.'},
        'message': {'type': 'string', 'description': 'Why the task failed, in a sentence.'},
        'image_id': {'type': ['null', 'string'], 'description': 'The image that it is about.'},
        'request_id': {'type': ['null', 'string'], 'description': 'The request that began it.'},
        'user_id': {'type': ['null', 'string'], 'description': 'The user who began it.'},
        'progress': {
            'type': ['null', 'object'],
            'description': 'Phase, plugin, bytes done, bytes in all, percent of the phase.',
        },
        'receipts': {
            'type': 'array',
            'items': {'type': 'object'},
            'description': 'What each import plugin did: its version, outcome, seconds and note.',
        },
        'error': {
            'type': ['null', 'object'],
            'description': 'Code, phase, plugin and retryable of a failure.',
        },
        'expires_at': {**_LATER, 'description': 'When a finished task is forgotten, in UTC.'},
        'created_at': {**_TIME, 'description': 'When the task was created, in UTC.'},
        'updated_at': {**_TIME, 'description': 'When the task was last changed, in UTC.'},
        'self': {'type': 'string', 'readOnly': True},
        'schema': {'type': 'string', 'readOnly': True},
    },
}
#: What lists leave out.
FULL_ONLY = (
    'input',
    'result',
    'message',
    'image_id',
    'request_id',
    'user_id',
    'progress',
    'receipts',
    'error',
)
