# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document of this deployment, for tools that write or test clients."""

from __future__ import annotations

from glance_lite.api.openapi import document
from glance_lite.api.schemas import images as schemas
from glance_lite.api.wsgi import Reply, Request
from glance_lite.middleware import identity


def get_openapi(request: Request) -> Reply:
    """``GET /v2/openapi.json``: show what can be asked of this service, as OpenAPI 3.1."""
    conf = request.services.conf
    formats = conf.image_format
    own = request.services.rules.properties
    image = schemas.image_schema(tuple(formats.disk_formats), tuple(formats.container_formats), own)
    shown = document.build(
        request.table,
        image,
        own,
        token=identity.strategy(conf) == 'keystone',
        anonymous=conf.allow_anonymous_access,
    )
    return Reply(data=shown)
