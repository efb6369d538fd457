# SPDX-License-Identifier: Apache-2.0
"""Single tags of an image; PATCH replaces all of them at once."""

from __future__ import annotations

from glance_lite import exceptions
from glance_lite.api import access
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import images, tags
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules


def add_tag(request: Request) -> Reply:
    """``PUT /v2/images/{image_id}/tags/{value}``: tag an image; twice is the same as once.

    :raises LimitExceeded: the image has as many tags as it may.
    """
    request.refuse_body()
    value = request.args['value']
    image_rules.require_tag(value)

    def work(session: Session) -> domain.Image | None:
        image = access.load_image(request, session, 'modify_image', for_update=True)
        if value in image.tags:
            return None
        limit = request.services.conf.image_tag_quota
        image_rules.check_quota([*image.tags, value], limit, 'tags')
        tags.insert(session, image.image_id, value)
        image.tags = sorted([*image.tags, value])
        return image

    image = request.services.db.transact(work, done=lambda session: False)
    if image is not None:
        request.services.notifier.image('update', image)
    return Reply(204)


def delete_tag(request: Request) -> Reply:
    """``DELETE /v2/images/{image_id}/tags/{value}``: take a tag from an image.

    :raises TagNotFound: the image does not have it.
    """
    image_id, value = request.args['image_id'], request.args['value']
    image_rules.require_tag(value)

    def work(session: Session) -> domain.Image:
        image = access.load_image(request, session, 'modify_image', for_update=True)
        if not tags.delete(session, image.image_id, value):
            raise exceptions.TagNotFound(image.image_id, value)
        image.tags.remove(value)
        return image

    image = request.services.db.transact(
        work, done=lambda session: value not in images.get(session, image_id).tags
    )
    request.services.notifier.image('update', image)
    return Reply(204)
