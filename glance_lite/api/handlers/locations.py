# SPDX-License-Identifier: Apache-2.0
"""Where the data of an image rests: look, register, remove from one store.

Who may be told is decided by rules of their own, as a location tells of the inside of the cloud.
"""

from __future__ import annotations

from glance_lite import exceptions, removing
from glance_lite.api import access
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import images, removals
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.image_import import start


def delete_from_store(request: Request) -> Reply:
    """``DELETE /v2/stores/{store_id}/{image_id}``: remove the data of an image from one store.

    What is to be removed is noted with the change: what this request cannot remove, janitors do.

    :raises Forbidden: no other store has the data.
    """
    services, store_id = request.services, request.args['store_id']

    def work(session: Session) -> list[removals.Removal]:
        image = access.load_image(request, session, 'delete_image_location', for_update=True)
        access.require(request, session, image, 'get_image_location')
        if store_id not in services.stores:
            raise exceptions.Conflict(
                f'There is no such store; the stores are: {", ".join(services.stores.ids)}.'
            )
        _require_free(session, image)
        gone = [place for place in image.locations if place.store == store_id]
        if not gone:
            raise exceptions.LocationNotFound(image.image_id, store_id)
        left = [place for place in image.locations if place.store != store_id]
        if not left:
            raise exceptions.Forbidden(
                f'The store {store_id} is the only one that has the data of the image; delete the '
                'image instead.'
            )
        images.set_locations(session, image.image_id, left)
        images.update(session, image.image_id, from_status=image.status)
        return removals.note(session, image.image_id, gone)

    notes = services.db.transact(work, done=lambda session: False)
    for note in notes:
        removing.try_removal(services.db, services.stores, note)
    return Reply(204)


def _require_free(session: Session, image: domain.Image) -> None:
    """Raise unless the places of an image may be changed now.

    :raises StatusConflict: it has no data that is in use.
    :raises ImportRunning: an import holds it.
    """
    if image.status != domain.ACTIVE:
        raise exceptions.StatusConflict(
            f'Only an image in status {domain.ACTIVE} has data that can be removed from a store; '
            f'this one is in status {image.status}.'
        )
    start.require_unheld(session, image)
