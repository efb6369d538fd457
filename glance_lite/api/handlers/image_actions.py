# SPDX-License-Identifier: Apache-2.0
"""Take an image out of service and put it back. Cancelling an import is with the imports."""

from __future__ import annotations

from glance_lite import exceptions
from glance_lite.api import access
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import images
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain


def deactivate_image(request: Request) -> Reply:
    """``POST /v2/images/{image_id}/actions/deactivate``: keep the data of an image from users.

    Administrators can still download it. Asking again is the same.

    :raises Forbidden: the image is neither active nor deactivated.
    """
    return _move(request, 'deactivate', domain.ACTIVE, domain.DEACTIVATED)


def reactivate_image(request: Request) -> Reply:
    """``POST /v2/images/{image_id}/actions/reactivate``: give a deactivated image back to users.

    Errors as above.
    """
    return _move(request, 'reactivate', domain.DEACTIVATED, domain.ACTIVE)


def _move(request: Request, rule: str, old: str, new: str) -> Reply:
    request.refuse_body()

    def work(session: Session) -> domain.Image | None:
        image = access.load_image(request, session, rule, for_update=True)
        if image.status == new:
            return None
        if image.status != old:
            raise exceptions.Forbidden(
                f'Only an image in status {old} can be made {new}; this one is in status '
                f'{image.status}.'
            )
        images.update(session, image.image_id, from_status=old, status=new)
        image.status = new
        return image

    moved = request.services.db.transact(work, done=lambda session: False)
    if moved is not None:
        request.services.notifier.image('update', moved)
    return Reply(204)
