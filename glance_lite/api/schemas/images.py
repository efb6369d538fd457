# SPDX-License-Identifier: Apache-2.0
"""The schema of an image, which is also the one of what a request writes to it."""

from __future__ import annotations

import functools
from typing import Any

import jsonschema

from glance_lite.api.schemas import validation
from glance_lite.domain import image as domain
from glance_lite.domain import location_request
from glance_lite.domain.image_rules import NAME_LENGTH
from glance_lite.image_properties import ImageProperties

UUID = '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$'
#: The largest ``min_disk`` and ``min_ram``: what an INTEGER column holds on every database.
MAX_INTEGER = 2**31 - 1
NO_PROPERTIES = ImageProperties()


@functools.lru_cache(maxsize=8)
def image_schema(
    disk_formats: tuple[str, ...],
    container_formats: tuple[str, ...],
    own: ImageProperties = NO_PROPERTIES,
) -> dict[str, Any]:
    """Return the schema of an image for the formats and properties of this deployment.

    What new images must have is not required in it: older ones may lack it.
    """
    described = {
        # by is_base clients know what can be removed
        name: {'type': 'string', **schema, 'is_base': False}
        for name, schema in own.schemas.items()
    }
    return {
        'name': 'image',
        'properties': {**described, **_properties(disk_formats, container_formats)},
        'additionalProperties': {'type': 'string'},
        'links': [
            {'rel': 'self', 'href': '{self}'},
            {'rel': 'enclosure', 'href': '{file}'},
            {'rel': 'describedby', 'href': '{schema}'},
        ],
    }


@functools.lru_cache(maxsize=8)
def image_validator(
    disk_formats: tuple[str, ...], container_formats: tuple[str, ...], own: ImageProperties
) -> jsonschema.protocols.Validator:
    """Return what checks a request's attributes against the schema."""
    schema = image_schema(disk_formats, container_formats, own)
    return validation.make_validator({'type': 'object', **schema})


def images_schema(image: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a page of images."""
    return page_schema('images', image)


def page_schema(name: str, item: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a page of items."""
    return {
        'name': name,
        'properties': {
            name: {'type': 'array', 'items': item},
            'first': {'type': 'string'},
            'next': {'type': 'string'},
            'schema': {'type': 'string'},
        },
        'links': [
            {'rel': 'first', 'href': '{first}'},
            {'rel': 'next', 'href': '{next}'},
            {'rel': 'describedby', 'href': '{schema}'},
        ],
    }


def _properties(
    disk_formats: tuple[str, ...], container_formats: tuple[str, ...]
) -> dict[str, Any]:
    shown: dict[str, Any] = {'type': 'string', 'readOnly': True}
    number = {'type': 'integer', 'minimum': 0, 'maximum': MAX_INTEGER}
    return {
        'id': {
            'type': 'string',
            'pattern': UUID,
            'format': 'uuid',
            'description': 'The id of the image; generated unless given when it is created.',
        },
        'name': {
            'type': ['null', 'string'],
            'maxLength': NAME_LENGTH,
            'description': 'A name for people; it need not be unique.',
        },
        'status': {
            **shown,
            'enum': [*domain.TRANSITIONS],
            'description': 'Where the image is in its life.',
        },
        'visibility': {
            'type': 'string',
            'enum': [*domain.VISIBILITIES],
            'description': 'Which projects see the image.',
        },
        'protected': {'type': 'boolean', 'description': 'Whether deleting is refused.'},
        'os_hidden': {'type': 'boolean', 'description': 'Whether default listings leave it out.'},
        'checksum': {
            'type': ['null', 'string'],
            'readOnly': True,
            'maxLength': 32,
            'description': 'MD5 of the data, in hexadecimal.',
        },
        'os_hash_algo': {
            'type': ['null', 'string'],
            'readOnly': True,
            'maxLength': 64,
            'description': 'The algorithm of os_hash_value.',
        },
        'os_hash_value': {
            'type': ['null', 'string'],
            'readOnly': True,
            'maxLength': 128,
            'description': 'The hash of the data, in hexadecimal.',
        },
        'owner': {
            'type': ['null', 'string'],
            'maxLength': NAME_LENGTH,
            'description': 'The project that owns the image.',
        },
        'size': {
            'type': ['null', 'integer'],
            'readOnly': True,
            'description': 'Bytes of the data.',
        },
        'virtual_size': {
            'type': ['null', 'integer'],
            'readOnly': True,
            'description': 'Bytes of the disk that the data describes.',
        },
        'disk_format': {
            'type': ['null', 'string'],
            'enum': [None, *disk_formats],
            'description': 'The format of the disk.',
        },
        'container_format': {
            'type': ['null', 'string'],
            'enum': [None, *container_formats],
            'description': 'What the disk is wrapped in.',
        },
        'min_disk': {**number, 'description': 'GB of disk that the image needs.'},
        'min_ram': {**number, 'description': 'MB of memory that the image needs.'},
        'tags': {
            'type': 'array',
            'items': {'type': 'string', 'maxLength': NAME_LENGTH},
            'description': 'Words to find the image by.',
        },
        'created_at': {**shown, 'description': 'When the image was created, in UTC.'},
        'updated_at': {**shown, 'description': 'When the image was last changed, in UTC.'},
        'self': {**shown, 'description': 'The path of the image.'},
        'file': {**shown, 'description': 'The path of its data.'},
        'schema': {**shown, 'description': 'The path of this schema.'},
        'direct_url': {**shown, 'description': 'Where the data rests, if the service shows it.'},
        'locations': {
            'type': 'array',
            'items': {
                'type': 'object',
                'properties': {
                    'url': {'type': 'string', 'maxLength': location_request.URL_LENGTH},
                    'metadata': {'type': 'object'},
                    'validation_data': {
                        'type': 'object',
                        'writeOnly': True,
                        'properties': {
                            'checksum': {'type': 'string'},
                            'os_hash_algo': {'type': 'string'},
                            'os_hash_value': {'type': 'string'},
                        },
                        'required': ['os_hash_algo', 'os_hash_value'],
                        'additionalProperties': False,
                    },
                },
                'required': ['url', 'metadata'],
            },
            'description': 'All places of the data, if the service shows them.',
        },
        'stores': {**shown, 'description': 'The ids of the stores that have the data.'},
        'os_glance_unchecked': {
            **shown,
            'description': 'How the data came past the import plugins: upload or location.',
        },
        'os_glance_content_format': {
            **shown,
            'description': 'The format of the content where it is not the one declared.',
        },
        'os_glance_import_error': {
            **shown,
            'description': 'Why the last import failed; gone when the next one starts.',
        },
    }
