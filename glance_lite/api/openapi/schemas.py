# SPDX-License-Identifier: Apache-2.0
"""What goes over the wire, by name: the schemas that clients can ask for, and what is around them.

References are written as the bare name; the document makes pointers of them.
"""

from __future__ import annotations

from typing import Any

from glance_lite.api.schemas import images, members, tasks
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, json_patch, location_request, quota
from glance_lite.domain import task as task_domain
from glance_lite.domain.import_request import HASH_DIGITS
from glance_lite.domain.member import STATUSES
from glance_lite.image_properties import ImageProperties

_STRING: dict[str, Any] = {'type': 'string'}
_SHOWN = ('self', 'file', 'schema', 'created_at', 'updated_at', 'checksum', 'size', 'status')
#: What every image shows; the rest is there when there is something to tell.
_ALWAYS = (
    'id',
    *image_rules.WRITABLE,
    *_SHOWN,
    'os_hash_algo',
    'os_hash_value',
    'virtual_size',
)

#: Headers of answers, with their meaning.
HEADERS = {
    'Location': 'The address of what was made.',
    'Content-Length': 'Bytes of the body.',
    'Content-Range': 'Which part of how many bytes this is.',
    'OpenStack-image-store-ids': 'The ids of the stores, with commas between.',
    'OpenStack-image-import-task-id': 'The id of the task.',
}


def path_parameters() -> dict[str, dict[str, Any]]:
    """Return the schemas of what stands in paths, by its name in the templates."""
    return {
        'image_id': {'$ref': 'Id'},
        'task_id': {'$ref': 'Id'},
        'member_id': {'type': 'string', 'minLength': 1, 'maxLength': image_rules.NAME_LENGTH},
        'store_id': _STRING,
        'value': {'type': 'string', 'minLength': 1, 'maxLength': image_rules.NAME_LENGTH},
        'name': {'enum': ['image', 'images', 'member', 'members', 'task', 'tasks']},
    }


def components(
    image: dict[str, Any], own: ImageProperties = images.NO_PROPERTIES
) -> dict[str, dict[str, Any]]:
    """Return every schema by its name.

    :param image: the schema of images of this deployment.
    :param own: the properties that the operator describes.
    """
    return {
        'Id': {'type': 'string', 'format': 'uuid', 'pattern': images.UUID},
        # an empty one asks for the first page
        'Marker': {'anyOf': [{'$ref': 'Id'}, {'const': ''}]},
        'Anything': {'type': 'object'},
        'Error': _object(
            error=_object(
                code=_STRING,
                message=_STRING,
                status={'type': 'integer'},
                title=_STRING,
                request_id=_STRING,
            )
        ),
        'Versions': _object(
            versions=_list(
                _object(
                    id=_STRING,
                    status={'enum': ['CURRENT', 'SUPPORTED']},
                    links=_list(_object(rel=_STRING, href=_STRING)),
                )
            )
        ),
        **_of_images(image, own),
        'Member': _shown(members.MEMBER),
        'Members': _object(members=_list({'$ref': 'Member'}), schema=_STRING),
        'NewMember': _object(
            member={'type': 'string', 'minLength': 1, 'maxLength': image_rules.NAME_LENGTH}
        ),
        'MemberAnswer': _object(status={'enum': [*STATUSES]}),
        'Import': _import(),
        'Locations': _list(_object(url=_STRING, metadata={'type': 'object'})),
        'NewLocation': {
            'type': 'object',
            'properties': {
                'url': {'type': 'string', 'minLength': 1, 'maxLength': location_request.URL_LENGTH},
                'validation_data': {
                    'type': 'object',
                    'properties': {
                        'os_hash_algo': {'enum': [*location_request.HASH_ALGORITHMS]},
                        'os_hash_value': _STRING,
                    },
                    'additionalProperties': False,
                },
            },
            'required': ['url'],
            'additionalProperties': False,
        },
        'ImageTask': _shown(tasks.TASK, absent=('self', 'schema')),
        'ImageTasks': _object(tasks=_list({'$ref': 'ImageTask'})),
        'Task': _optional(_shown(tasks.TASK), 'expires_at'),
        'Tasks': _optional(
            _object(
                tasks=_list(_optional(_shown(tasks.TASK, absent=tasks.FULL_ONLY), 'expires_at')),
                first=_STRING,
                next=_STRING,
                schema=_STRING,
            ),
            'next',
        ),
        'NewTask': {
            **_object(
                type={'enum': [task_domain.IMPORT]},
                input={
                    **_object(
                        import_from={'type': 'string', 'minLength': 1},
                        import_from_format=_STRING,
                        image_properties={'$ref': 'NewImage'},
                    ),
                    'additionalProperties': False,
                },
            ),
            'additionalProperties': False,
        },
        'ImportMethods': _object(
            **{
                'import-methods': _object(
                    description=_STRING, type={'const': 'array'}, value=_list(_STRING)
                )
            }
        ),
        **_of_stores(),
        'Usage': _object(usage=_usage()),
    }


def _of_images(image: dict[str, Any], own: ImageProperties) -> dict[str, dict[str, Any]]:
    properties = image['properties']
    writable = {name: properties[name] for name in ('id', *image_rules.WRITABLE, *own.schemas)}
    required = {'required': sorted(own.required)} if own.required else {}
    name = {'type': 'string', 'pattern': '^/', 'minLength': 2}
    old: dict[str, Any] = {
        'type': 'object',
        'properties': dict.fromkeys(json_patch.OPS, name) | {'value': True},
        'oneOf': [
            *({'required': [op, 'value']} for op in ('add', 'replace')),
            {'required': ['remove']},
        ],
    }
    new: dict[str, Any] = {
        'type': 'object',
        'properties': {'op': {'enum': [*json_patch.OPS]}, 'path': name, 'value': True},
        'required': ['op', 'path'],
        'if': {'properties': {'op': {'const': 'remove'}}},
        'else': {'required': ['value']},
    }
    return {
        'Image': {
            'type': 'object',
            'properties': properties,
            'required': sorted(_ALWAYS),
            'additionalProperties': image['additionalProperties'],
        },
        'Images': {
            'type': 'object',
            'properties': {
                'images': _list({'$ref': 'Image'}),
                'first': _STRING,
                'next': _STRING,
                'schema': _STRING,
            },
            'required': ['images', 'first', 'schema'],
        },
        'ImagesV1': {
            'type': 'object',
            'properties': {'images': _list({'type': 'object', 'required': ['id', 'properties']})},
            'required': ['images'],
        },
        'NewImage': {
            'type': 'object',
            'properties': writable,
            **required,
            'propertyNames': {
                'minLength': 1,
                'maxLength': image_rules.NAME_LENGTH,
                'not': {
                    'anyOf': [
                        {'enum': sorted(domain.READ_ONLY_ATTRIBUTES | domain.RESERVED_ATTRIBUTES)},
                        {'pattern': f'^{domain.RESERVED_PREFIX}'},
                    ]
                },
            },
            'additionalProperties': image['additionalProperties'],
        },
        'Patch': _list(new),
        'OldPatch': _list(old),
    }


def _import() -> dict[str, Any]:
    hashes = _object(os_hash_algo={'enum': [*HASH_DIGITS]}, os_hash_value=_STRING)
    return {
        'type': 'object',
        'properties': {
            'method': {
                'type': 'object',
                'properties': {'name': _STRING, 'uri': _STRING, 'validation_data': hashes},
                'required': ['name'],
            },
            'stores': {**_list(_STRING), 'minItems': 1},
            'all_stores': {'type': 'boolean', 'default': False},
            'all_stores_must_succeed': {'type': 'boolean', 'default': True},
        },
        'required': ['method'],
    }


def _usage() -> dict[str, Any]:
    number = {'type': 'integer'}
    names = [name for name, _ in quota.RESOURCES.values()]
    entry = _object(limit=number | {'minimum': -1}, usage=number | {'minimum': 0})
    # all of them where anything is limited
    return {
        'oneOf': [{'type': 'object', 'maxProperties': 0}, _object(**dict.fromkeys(names, entry))]
    }


def _of_stores() -> dict[str, dict[str, Any]]:
    store = {
        'id': _STRING,
        'description': _STRING,
        'default': {'const': 'true'},
        'read-only': {'const': 'true'},
    }
    detail = {'type': _STRING, 'weight': {'type': 'integer'}, 'properties': {'type': 'object'}}
    return {
        'Stores': _object(
            stores=_list({'type': 'object', 'properties': store, 'required': ['id']})
        ),
        'StoresDetail': _object(
            stores=_list(
                {
                    'type': 'object',
                    'properties': store | detail,
                    'required': ['id', *detail],
                }
            )
        ),
    }


def _shown(schema: dict[str, Any], absent: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the schema of a whole object, from that of one that clients can ask for."""
    properties = {name: kind for name, kind in schema['properties'].items() if name not in absent}
    return {'type': 'object', 'properties': properties, 'required': [*properties]}


def _optional(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    required = [name for name in schema['required'] if name not in names]
    return {**schema, 'required': required}


def _object(**properties: Any) -> dict[str, Any]:
    return {'type': 'object', 'properties': properties, 'required': [*properties]}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {'type': 'array', 'items': items}
