# SPDX-License-Identifier: Apache-2.0
"""Where the data of an image rests: look, register, remove from one store.

Who may be told is decided by rules of their own, as a location tells of the inside of the cloud.
"""

from __future__ import annotations

from glance_lite import exceptions, removing
from glance_lite.api import access, location_changes, views
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import images, removals
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import location_request
from glance_lite.image_import import register, start


def list_locations(request: Request) -> Reply:
    """``GET /v2/images/{image_id}/locations``: show where the data of an image rests."""
    image = request.services.db.read(
        lambda session: access.load_for_services(request, session, 'fetch_image_location')
    )
    return Reply(data=[views.location(place) for place in image.locations])


def add_location(request: Request) -> Reply:
    """``POST /v2/images/{image_id}/locations``: give a queued image data that lies elsewhere.

    Answers 202 with the task's id; a conductor looks at the data. If it fails, the image is queued
    again and has no location.
    """
    services = request.services
    wanted = location_request.parse(request.read_json())

    def load(session: Session) -> domain.Image:
        image = access.load_for_services(request, session, 'add_image_location')
        register.require_queued(session, image)
        access.require_way_past_import(request)
        return image

    image = services.db.read(load)
    store = location_changes.store_for(request, wanted.url)
    store.check_url(wanted.url)
    task = register.register_location(services, request.context, image, store.store_id, wanted)
    return Reply(
        202,
        headers=[
            ('Location', f'{request.base_url}/v2/images/{image.image_id}/tasks'),
            ('OpenStack-image-import-task-id', task.task_id),
        ],
    )


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
