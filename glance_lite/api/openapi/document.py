# SPDX-License-Identifier: Apache-2.0
"""Put the OpenAPI document together (OpenAPI 3.1) from the routes and what is told about them."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

from glance_lite.api.openapi import (
    discovery,
    image_data,
    images,
    locations,
    members,
    model,
    schemas,
    tasks,
)
from glance_lite.api.openapi.model import Answer, Operation, Operations
from glance_lite.api.schemas.images import NO_PROPERTIES
from glance_lite.api.wsgi import Handler, RouteTable
from glance_lite.image_properties import ImageProperties

#: What is told about the routes. A route without an entry here is a failed test.
OPERATIONS: Operations = {
    **images.OPERATIONS,
    **members.OPERATIONS,
    **image_data.OPERATIONS,
    **locations.OPERATIONS,
    **tasks.OPERATIONS,
    **discovery.OPERATIONS,
}
_TOKEN = {'token': {'type': 'apiKey', 'in': 'header', 'name': 'X-Auth-Token'}}
_ROLE = re.compile(r':\w+:`~?([^`]*)`|``([^`]*)``')


def build(
    table: RouteTable,
    image: dict[str, Any],
    own: ImageProperties = NO_PROPERTIES,
    token: bool = True,
    anonymous: bool = False,
) -> dict[str, Any]:
    """Return the document of a deployment.

    :param image: the schema of its images.
    :param own: the properties that the operator describes.
    :param token: whether callers are known by tokens.
    :param anonymous: whether callers without a token may read.
    """
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), told in discovery.OUTSIDE_THE_TABLE.items():
        statuses = {status: answer.meaning for status, answer in told.answers.items()}
        statuses.update(told.errors)
        paths[path] = {method.lower(): {**_operation(told, statuses), 'security': []}}
    for path, handlers in table.items():
        paths[path] = {'parameters': _in_path(path)} if '{' in path else {}
        for method, handler in handlers.items():
            told = OPERATIONS[method, path]
            shown = _operation(told, model.statuses(method, path, told))
            paths[path][method.lower()] = {**_named(handler), **shown}
    return _point(
        {
            'openapi': '3.1.0',
            'info': {
                'title': 'glance_lite: the OpenStack Images API v2',
                'version': importlib.metadata.version('glance_lite'),
                'license': {'name': 'Apache 2.0', 'identifier': 'Apache-2.0'},
            },
            'paths': paths,
            'components': {
                'schemas': schemas.components(image, own),
                'securitySchemes': _TOKEN if token else {},
            },
            'security': [{'token': []}, *([{}] if anonymous else [])] if token else [],
        }
    )


def summary(handler: Handler) -> str:
    """Return the sentence about a handler: its docstring's first, behind the route."""
    first = (handler.__doc__ or '').partition('\n\n')[0]
    sentence = ' '.join(first.partition('``: ')[2].split())
    plain = _ROLE.sub(lambda found: found[1] or found[2], sentence)
    return plain[:1].upper() + plain[1:]


def _named(handler: Handler) -> dict[str, Any]:
    return {
        'operationId': handler.__name__,
        'summary': summary(handler),
        'tags': [handler.__module__.rpartition('.')[2]],
    }


def _in_path(path: str) -> list[dict[str, Any]]:
    kinds = schemas.path_parameters()
    return [
        {'name': name, 'in': 'path', 'required': True, 'schema': kinds[name]}
        for name in re.findall(r'{(\w+)}', path)
    ]


def _operation(told: Operation, statuses: dict[int, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if told.parameters:
        shown['parameters'] = [
            {
                'name': each.name,
                'in': each.place,
                'description': each.meaning,
                'schema': each.schema,
                **({'explode': True} if each.explode else {}),
            }
            for each in told.parameters
        ]
    if told.body is not None:
        content: dict[str, dict[str, Any]] = {
            media_type: {'schema': {'$ref': name}} if name else {}
            for media_type, name in told.body.content.items()
        }
        if told.body.example is not None:
            next(iter(content.values()))['example'] = told.body.example
        shown['requestBody'] = {'required': told.body.is_json, 'content': content}
    shown['responses'] = {
        str(status): _success(meaning, told.answers[status])
        if status in told.answers
        else _failure(meaning)
        for status, meaning in statuses.items()
    }
    return shown


def _success(meaning: str, answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = {'description': meaning}
    if answer.headers:
        shown['headers'] = {
            name: {
                'description': schemas.HEADERS[name],
                'required': True,
                'schema': {'type': 'string'},
            }
            for name in answer.headers
        }
    if answer.schema is not None:
        shown['content'] = {model.JSON: {'schema': {'$ref': answer.schema}}}
    elif answer.media_type is not None:
        shown['content'] = {answer.media_type: {}}
    if answer.links:
        shown['links'] = {
            name: {'operationId': name, 'parameters': {'image_id': '$response.body#/id'}}
            for name in answer.links
        }
    return shown


def _failure(meaning: str) -> dict[str, Any]:
    return {
        'description': meaning,
        'content': {
            model.JSON: {'schema': {'$ref': 'Error'}},
            'text/plain': {'schema': {'type': 'string'}},
        },
    }


def _point(node: Any) -> Any:
    """Make pointers of the names in ``$ref``."""
    if isinstance(node, dict):
        return {
            name: f'#/components/schemas/{value}' if name == '$ref' else _point(value)
            for name, value in node.items()
        }
    return [_point(item) for item in node] if isinstance(node, list | tuple) else node
