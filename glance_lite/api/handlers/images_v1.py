# SPDX-License-Identifier: Apache-2.0
"""Listing images as the Images API v1 did, for scripts that are older than v2.

Nothing else of v1 is here, and no list of versions offers it.
"""

from __future__ import annotations

import dataclasses

from glance_lite import exceptions
from glance_lite.api import image_page, views
from glance_lite.api.wsgi import Reply, Request
from glance_lite.domain import image_query, text
from glance_lite.domain.image_query import Filter, ImageQuery

#: Parameters that v2 knows by the same name and with the same values.
_ALIKE = frozenset(
    {
        'limit',
        'marker',
        'sort_key',
        'sort_dir',
        'size_min',
        'size_max',
        'min_ram',
        'min_disk',
        'protected',
    }
)
#: Parameters whose values v2 may take for an operator with a value.
_EQUAL = frozenset({'name', 'status', 'container_format', 'disk_format'})
_PROPERTY = 'property-'
#: From values of is_public to the visibility that v2 would ask for.
_PUBLIC = {'true': 'public', 'false': 'all', 'none': 'all'}


def list_images_v1(request: Request) -> Reply:
    """``GET /v1/images/detail``: show a page of the images that the caller sees, as v1 did."""
    page, _ = image_page.read(request, parse(request))
    return Reply(data={'images': [views.image_v1(image, request.base_url) for image in page]})


def parse(request: Request) -> ImageQuery:
    """Read the parameters of v1.

    :raises InvalidRequest: naming the parameter and the rule that it breaks.
    """
    alike: list[tuple[str, str]] = []
    filters: list[Filter] = []
    visibility: str | None = None
    for name, value in request.query:
        if name in _ALIKE:
            alike.append((name, value))
        elif name in _EQUAL:
            alike.append((name, f'eq:{value}'))
        elif name == 'is_public':
            if value.lower() not in _PUBLIC:
                raise exceptions.InvalidRequest(
                    'The query parameter is_public must be true, false or none.'
                )
            visibility = _PUBLIC[value.lower()]
            if value.lower() == 'false':
                filters.append(Filter('visibility', None, 'neq', 'public'))
        elif name.startswith(_PROPERTY):
            text.require_plain(name + value, 'A query parameter')
            filters.append(Filter(None, name.removeprefix(_PROPERTY), 'eq', value))
        else:
            raise exceptions.InvalidRequest(
                f'The query parameter {name[:100]} is none of v1: these are '
                f'{", ".join(sorted({*_ALIKE, *_EQUAL, "is_public"}))} and {_PROPERTY}NAME.'
            )
    conf = request.services.conf
    query = image_query.parse(alike, conf.limit_param_default, conf.api_limit_max)
    return dataclasses.replace(query, filters=(*query.filters, *filters), visibility=visibility)
