# SPDX-License-Identifier: Apache-2.0
"""A page of images as its caller may see them, whichever version shows it."""

from __future__ import annotations

from glance_lite.api import access, protection
from glance_lite.api.wsgi import Request
from glance_lite.db import image_list
from glance_lite.domain import image as domain
from glance_lite.domain.image_query import ImageQuery


def read(request: Request, query: ImageQuery) -> tuple[list[domain.Image], str | None]:
    """Return the images of a page as the caller may see them, and the marker of the next page."""
    context, services = request.context, request.services
    services.policy.require(context, 'get_images', {'project_id': context.project_id})
    page: list[domain.Image] = []
    more = False
    if all(protection.may_read(request, each.property) for each in query.filters if each.property):
        page, more = services.db.read(
            lambda session: image_list.list_page(
                session, query, context.project_id, bool(context.is_admin)
            )
        )
    protection.hide(request, page)
    next_marker = page[-1].image_id if more else None
    return [
        image
        for image in page
        if services.policy.allows(context, 'get_image', access.target_of(context, image))
    ], next_marker
