# SPDX-License-Identifier: Apache-2.0
"""The operations of image records, their tags and what takes them out of service."""

from __future__ import annotations

from typing import Any

from glance_lite.api.openapi.model import JSON, Answer, Body, Operation, Operations, Parameter
from glance_lite.domain import image as domain
from glance_lite.domain import image_query, json_patch, member

_TEXT = {'type': 'string'}
_FLAG = {'type': 'string', 'enum': ['true', 'false']}
_COUNT = {'type': 'integer', 'minimum': -(2**63) + 1, 'maximum': 2**63 - 1}
_MOMENT = {
    'type': 'string',
    'pattern': '^((gt|gte|lt|lte|eq|neq):)?[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])'
    'T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$',
}


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {'type': 'array', 'items': schema}


_LIST = (
    Parameter('limit', 'How many images a page has at most.', {'type': 'integer', 'minimum': 0}),
    Parameter('marker', 'The id of the image after which the page begins.', {'$ref': 'Marker'}),
    Parameter(
        'sort',
        'Keys with their directions, like ``name:asc,created_at:desc``.',
        {
            'type': 'string',
            'pattern': '^({0})(:(asc|desc))?(,({0})(:(asc|desc))?)*$'.format(
                '|'.join(image_query.SORT_KEYS)
            ),
        },
    ),
    Parameter(
        'sort_key',
        'A key to sort by, in place of sort; may be repeated.',
        _list_of({'type': 'string', 'enum': [*image_query.SORT_KEYS]}),
        explode=True,
    ),
    Parameter(
        'sort_dir',
        'A direction for all keys, or one for each.',
        _list_of({'type': 'string', 'enum': ['asc', 'desc']}),
        explode=True,
    ),
    Parameter(
        'visibility',
        'Which images are listed. Without it community images of others are left out.',
        {'type': 'string', 'enum': [*domain.VISIBILITIES, 'all']},
    ),
    Parameter(
        'member_status',
        'Which of the images that others share with the caller are listed.',
        {'type': 'string', 'enum': [*member.STATUSES, 'all'], 'default': member.ACCEPTED},
    ),
    *(
        Parameter(name, 'Equal to this, or to one of the list in ``in:a,b``.', _TEXT)
        for name in ('name', 'id', 'status', 'container_format', 'disk_format')
    ),
    *(
        Parameter(name, 'Equal to this.', _TEXT)
        for name in ('owner', 'checksum', 'os_hash_algo', 'os_hash_value')
    ),
    *(Parameter(name, 'Only images that are so.', _FLAG) for name in ('os_hidden', 'protected')),
    *(
        Parameter(f'{name}{bound}', meaning, _COUNT)
        for name in ('size', 'virtual_size', 'min_disk', 'min_ram')
        for bound, meaning in (
            ('', 'Equal to this.'),
            ('_min', 'This or more.'),
            ('_max', 'This or less.'),
        )
    ),
    *(
        Parameter(name, 'A time, or one of gt:, gte:, lt:, lte:, eq:, neq: and a time.', _MOMENT)
        for name in ('created_at', 'updated_at')
    ),
    Parameter('tag', 'A tag that is there; may be repeated.', _list_of(_TEXT), explode=True),
)

_LIST_V1 = (
    *(
        each
        for each in _LIST
        if each.name
        in ('limit', 'marker', 'size_min', 'size_max', 'min_disk', 'min_ram', 'protected')
    ),
    Parameter('sort_key', 'What to sort by.', {'type': 'string', 'enum': [*image_query.SORT_KEYS]}),
    Parameter('sort_dir', 'The direction.', {'type': 'string', 'enum': ['asc', 'desc']}),
    *(
        Parameter(name, 'Equal to this.', _TEXT)
        for name in ('name', 'status', 'container_format', 'disk_format')
    ),
    Parameter(
        'is_public',
        'Only public images, only others, or all.',
        {'type': 'string', 'enum': ['true', 'false', 'none']},
    ),
)

_ACTION = {204: Answer('It is so now, or was already.')}

OPERATIONS: Operations = {
    ('GET', '/v1/images/detail'): Operation(
        {200: Answer('A page of images.', 'ImagesV1')},
        {403: 'The rule get_images does not let the caller list.'},
        _LIST_V1,
    ),
    ('GET', '/v2/images'): Operation(
        {200: Answer('A page of images.', 'Images')},
        {403: 'The rule get_images does not let the caller list.'},
        _LIST,
    ),
    ('POST', '/v2/images'): Operation(
        {
            201: Answer(
                'The record, in status queued.',
                'Image',
                headers=('Location', 'OpenStack-image-store-ids'),
                links=('get_image', 'update_image', 'delete_image', 'upload_data', 'list_members'),
            )
        },
        {409: 'The id is taken.'},
        body=Body(
            {JSON: 'NewImage'},
            {
                'name': 'debian',
                'disk_format': 'qcow2',
                'container_format': 'bare',
                'tags': ['lts'],
                'os_distro': 'debian',
            },
        ),
    ),
    ('GET', '/v2/images/{image_id}'): Operation({200: Answer('The image.', 'Image')}),
    ('PATCH', '/v2/images/{image_id}'): Operation(
        {200: Answer('The image as it is now.', 'Image')},
        {
            409: 'A property is not there, or there already; locations cannot be changed now.',
            415: 'The body has another media type.',
        },
        body=Body(
            {json_patch.TYPE_2_1: 'Patch', json_patch.TYPE_2_0: 'OldPatch'},
            [{'op': 'replace', 'path': '/name', 'value': 'debian 12'}],
        ),
    ),
    ('DELETE', '/v2/images/{image_id}'): Operation({204: Answer('It is gone.')}),
    ('POST', '/v2/images/{image_id}/actions/deactivate'): Operation(_ACTION),
    ('POST', '/v2/images/{image_id}/actions/reactivate'): Operation(_ACTION),
    ('PUT', '/v2/images/{image_id}/tags/{value}'): Operation(
        {204: Answer('The image has the tag.')}, {413: 'The image would have too many tags.'}
    ),
    ('DELETE', '/v2/images/{image_id}/tags/{value}'): Operation(
        {204: Answer('The image has the tag no longer.')},
        {404: 'There is no such image, or it does not have the tag.'},
    ),
}
