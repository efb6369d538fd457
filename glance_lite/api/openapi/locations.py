# SPDX-License-Identifier: Apache-2.0
"""The operations on where the data of an image rests."""

from __future__ import annotations

from glance_lite.api.openapi.model import JSON, Answer, Body, Operation, Operations

OPERATIONS: Operations = {
    ('GET', '/v2/images/{image_id}/locations'): Operation(
        {200: Answer('Where the data rests.', 'Locations')},
        {403: 'Only administrators and services see this.'},
    ),
    ('POST', '/v2/images/{image_id}/locations'): Operation(
        {
            202: Answer(
                'The location is being registered.',
                headers=('Location', 'OpenStack-image-import-task-id'),
            )
        },
        {409: 'The image is not queued, its formats are not set, or a task holds it.'},
        body=Body({JSON: 'NewLocation'}, {'url': 'https://example.org/debian.qcow2'}),
    ),
    ('DELETE', '/v2/stores/{store_id}/{image_id}'): Operation(
        {204: Answer('The store has the data of the image no longer.')},
        {
            403: 'It is the last store that has the data, or the caller may not do this.',
            404: 'There is no such image that the caller can see, or it has no data in the store.',
            409: 'There is no such store, the image is not active, or an import of it runs.',
        },
    ),
}
