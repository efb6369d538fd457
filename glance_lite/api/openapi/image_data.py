# SPDX-License-Identifier: Apache-2.0
"""The operations that move the data of an image, and those of imports."""

from __future__ import annotations

from glance_lite.api.openapi.model import (
    JSON,
    OCTETS,
    WAIT,
    Answer,
    Body,
    Operation,
    Operations,
    Parameter,
)

_STORE = Parameter(
    'X-Image-Meta-Store', 'The id of the store that gets the data.', {'type': 'string'}, 'header'
)
_SIZE = Parameter(
    'x-openstack-image-size',
    'The bytes that the body has.',
    {'type': 'string', 'pattern': '^[0-9]{1,18}$'},
    'header',
)
_DATA = Body({OCTETS: None})
_REFUSED = {
    409: 'The image is not queued, or the service gave up this upload.',
    410: 'The image was deleted while its data came.',
    413: 'The data is too large, there is no space, or the project may not have so much.',
}

OPERATIONS: Operations = {
    ('PUT', '/v2/images/{image_id}/file'): Operation(
        {204: Answer('The image is active.')},
        {**_REFUSED, 415: 'The body is of another type, or the content of another format.'},
        (_STORE, _SIZE),
        _DATA,
    ),
    ('GET', '/v2/images/{image_id}/file'): Operation(
        {
            200: Answer('The data.', media_type=OCTETS, headers=('Content-Length',)),
            204: Answer('The image has no data yet.'),
            206: Answer(
                'The part that the header Range names.',
                media_type=OCTETS,
                headers=('Content-Length', 'Content-Range'),
            ),
        },
        {
            403: 'The image is deactivated, or the caller may not download it.',
            416: 'The range is not inside the data.',
        },
        (
            Parameter('Range', 'One range of bytes.', {'type': 'string'}, 'header'),
            Parameter('prefer', 'Stores to read from, the best first.', {'type': 'string'}),
        ),
    ),
    ('PUT', '/v2/images/{image_id}/stage'): Operation(
        {204: Answer('The image is uploading, with its data staged.')},
        {**_REFUSED, 415: 'The body is of another type.'},
        (_SIZE,),
        _DATA,
    ),
    ('POST', '/v2/images/{image_id}/import'): Operation(
        {
            202: Answer('The image is importing, or is being copied.', headers=('Location',)),
        },
        {
            409: 'The status, the formats or the stores do not allow it, or an import runs.',
        },
        (_STORE,),
        Body({JSON: 'Import'}, {'method': {'name': 'glance-direct'}}),
    ),
    ('POST', '/v2/images/{image_id}/actions/cancel_import'): Operation(
        {202: Answer('The import is being undone.', headers=('OpenStack-image-import-task-id',))},
        {409: 'No import of the image runs.'},
    ),
    ('GET', '/v2/images/{image_id}/tasks'): Operation(
        {200: Answer('The tasks, the oldest first.', 'ImageTasks')}, parameters=(WAIT,)
    ),
}
