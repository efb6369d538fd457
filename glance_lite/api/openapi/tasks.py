# SPDX-License-Identifier: Apache-2.0
"""The operations of tasks."""

from __future__ import annotations

from glance_lite.api.openapi.model import (
    JSON,
    WAIT,
    Answer,
    Body,
    Operation,
    Operations,
    Parameter,
)
from glance_lite.domain import task, task_query

_NO_TASK = 'There is no such task that the caller can see.'
_CLOSED = 'The caller may not use tasks.'
_STRING = {'type': 'string'}

OPERATIONS: Operations = {
    ('GET', '/v2/tasks'): Operation(
        {200: Answer('A page of tasks.', 'Tasks')},
        {403: _CLOSED},
        parameters=(
            Parameter('status', 'Only tasks in this status.', {'enum': [*task_query.STATUSES]}),
            Parameter('type', 'Only tasks of this type.', {'enum': [*task.TYPES]}),
            Parameter('limit', 'So many at most.', {'type': 'integer', 'minimum': 0}),
            Parameter('marker', 'Only tasks behind this one.', {'$ref': 'Marker'}),
            Parameter('sort_key', 'Order by this.', {'enum': [*task_query.SORT_KEYS]}),
            Parameter('sort_dir', 'In this direction.', {'enum': ['asc', 'desc']}),
            Parameter('sort', 'Both in one, as status:asc,id:desc.', _STRING),
        ),
    ),
    ('POST', '/v2/tasks'): Operation(
        {201: Answer('The task has begun.', 'Task', headers=('Location',))},
        {403: 'The caller may not use tasks, or not have such an image.', 409: 'No such store.'},
        parameters=(
            Parameter('X-Image-Meta-Store', 'The id of a store.', _STRING, place='header'),
        ),
        body=Body(
            {JSON: 'NewTask'},
            {
                'type': 'import',
                'input': {
                    'import_from': 'https://example.org/disk.qcow2',
                    'import_from_format': 'qcow2',
                    'image_properties': {'name': 'mine'},
                },
            },
        ),
    ),
    ('GET', '/v2/tasks/{task_id}'): Operation(
        {200: Answer('The task.', 'Task')},
        {403: _CLOSED, 404: _NO_TASK},
        parameters=(WAIT,),
    ),
    ('POST', '/v2/tasks/{task_id}/actions/cancel'): Operation(
        {202: Answer('The task is being undone.', headers=('Location',))},
        {403: _CLOSED, 404: _NO_TASK, 409: 'The task has ended.'},
    ),
}
