# SPDX-License-Identifier: Apache-2.0
"""The attributes that a request gives to an image, checked one by one and put in their place.

Whether the caller may have such an image at all is the business of ``creating.py``.
"""

from __future__ import annotations

import uuid
from typing import Any

from glance_lite import exceptions
from glance_lite.api.schemas import images as schemas
from glance_lite.api.schemas import validation
from glance_lite.api.wsgi import Request
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, text

#: Attributes that are columns of an image.
COLUMNS = frozenset(image_rules.WRITABLE) - {'tags'}


def new_image(request: Request, attributes: Any, whole: str = 'The image') -> domain.Image:
    """Return a new image with these attributes, owned by the caller unless they say otherwise.

    :param whole: how messages call the attributes.
    :raises InvalidRequest: naming the attribute and the rule that it breaks.
    :raises Forbidden: an attribute that a request may not give.
    """
    if not isinstance(attributes, dict):
        raise exceptions.InvalidRequest(f'{whole} must be a JSON object with attributes.')
    attributes = dict(attributes)
    for name in attributes:
        image_rules.require_writable(name)
    check_values(request, attributes, whole)
    given = {name for name, value in attributes.items() if value is not None}
    missing = sorted(request.services.rules.properties.required - given)
    if missing:
        raise exceptions.InvalidRequest(f'{whole} must have {", ".join(missing)}.')
    attributes.setdefault('owner', request.context.owner)
    image = domain.Image(image_id=(attributes.pop('id', None) or str(uuid.uuid4())).lower())
    assign(image, attributes)
    return image


def assign(image: domain.Image, attributes: dict[str, Any]) -> None:
    """Write checked attributes to an image."""
    for name, value in attributes.items():
        if name == 'tags':
            image.tags = list(dict.fromkeys(value))
        elif name in COLUMNS:
            setattr(image, name, value)
        elif value is None:  # where the schema of the deployment permits it
            image.properties.pop(name, None)
        else:
            image.properties[name] = value


def check_values(request: Request, attributes: dict[str, Any], whole: str = 'The image') -> None:
    """Check the values of attributes against the schema and what the database holds.

    :raises InvalidRequest: naming the attribute and the rule that it breaks.
    :raises Forbidden: the owner is not the caller's project.
    """
    text.require_plain_values(attributes)
    formats = request.services.conf.image_format
    validator = schemas.image_validator(
        tuple(formats.disk_formats),
        tuple(formats.container_formats),
        request.services.rules.properties,
    )
    for name in attributes:
        if name not in domain.BASE_ATTRIBUTES:
            image_rules.require_property_name(name)
    validation.check(validator, attributes, whole)
    owner = attributes.get('owner', request.context.owner)
    if owner != request.context.owner and not request.context.is_admin:
        raise exceptions.Forbidden('Only an administrator may choose another owner.')
