# SPDX-License-Identifier: Apache-2.0
"""Image records: create, show, list, change, delete. Their data is another module's."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import Any

from oslo_log import log

from glance_lite import creating, exceptions, removing
from glance_lite.api import (
    access,
    attributes,
    errors,
    image_page,
    location_changes,
    protection,
    views,
)
from glance_lite.api.location_changes import LocationEdit, Moved
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import images, ownership, pending, removals, tasks
from glance_lite.db.engine import Session, utcnow
from glance_lite.domain import image as domain
from glance_lite.domain import image_query, image_rules, json_patch, quota
from glance_lite.domain.quota import Limits
from glance_lite.image_import import checking
from glance_lite.services import Services

LOG = log.getLogger(__name__)


def create_image(request: Request) -> Reply:
    """``POST /v2/images``: add an image record in status queued."""
    services = request.services
    image = attributes.new_image(request, request.read_json(), 'The body')
    creating.require_creation(
        services.policy, services.conf, request.context, image, services.rules.protection
    )
    limits = services.limits_of(image.owner, quota.IMAGES)
    services.db.transact(
        lambda session: creating.insert(session, limits, image),
        done=lambda session: ownership.of(session, image.image_id).status is not None,
    )
    image.tags.sort()
    services.notifier.image('create', image)
    protection.hide(request, [image])
    location = f'{request.base_url}/v2/images/{image.image_id}'
    return Reply(201, _view(request, image), [('Location', location), *_discovery_headers(request)])


def get_image(request: Request) -> Reply:
    """``GET /v2/images/{image_id}``: show an image."""
    image = request.services.db.read(
        lambda session: access.load_image(request, session, 'get_image')
    )
    protection.hide(request, [image])
    return Reply(data=_view(request, image))


def list_images(request: Request) -> Reply:
    """``GET /v2/images``: show a page of the images that the caller sees."""
    conf = request.services.conf
    query = image_query.parse(request.query, conf.limit_param_default, conf.api_limit_max)
    page, next_marker = image_page.read(request, query)
    data: dict[str, Any] = {
        'images': [_view(request, image) for image in page],
        'first': _link(request.query, None),
        'schema': '/v2/schemas/images',
    }
    if next_marker is not None:
        data['next'] = _link(request.query, next_marker)
    return Reply(data=data)


def update_image(request: Request) -> Reply:
    """``PATCH /v2/images/{image_id}``: change attributes."""
    if request.content_type not in json_patch.MEDIA_TYPES:
        raise errors.WrongPatchType(
            f'A PATCH needs one of the media types {", ".join(json_patch.MEDIA_TYPES)}.',
            json_patch.MEDIA_TYPES,
        )
    services = request.services
    changes = json_patch.parse(request.read_json(), request.content_type)
    sizes = location_changes.look(request, changes)
    limits = access.limits_of_owner(request, 'modify_image', quota.STORED) if sizes else Limits()

    def work(session: Session) -> tuple[domain.Image, Moved]:
        image = access.load_image(request, session, 'modify_image', for_update=True)
        if not changes:
            return image, Moved()
        before = dataclasses.replace(image, properties=dict(image.properties))
        edit = LocationEdit(request, session, image)
        changed = _apply(request, image, changes, edit)
        if 'visibility' in changed:
            creating.require_visibility(services.policy, request.context, image)
        creating.require_quotas(services.conf, image, before)
        columns = {name: getattr(image, name) for name in changed if name in attributes.COLUMNS}
        image.updated_at = utcnow()
        moved = edit.finish(sizes, limits)
        columns |= {'updated_at': image.updated_at, **moved.columns}
        images.update(session, image.image_id, from_status=before.status, **columns)
        images.set_properties(
            session, image.image_id, _difference(before.properties, image.properties)
        )
        if 'tags' in changed:
            image.tags.sort()
            images.set_tags(session, image.image_id, image.tags)
        edit.post(moved)
        return image, moved

    image, moved = services.db.transact(work)
    if changes:
        services.notifier.image('update', image)
    location_changes.follow(request, image, moved)
    protection.hide(request, [image])
    return Reply(data=_view(request, image))


def delete_image(request: Request) -> Reply:
    """``DELETE /v2/images/{image_id}``: delete an image, its data, and an import that runs.

    What is to be removed is noted with the deletion: what this request cannot remove, janitors do.
    """
    services = request.services

    def work(session: Session) -> tuple[domain.Image, list[removals.Removal]]:
        image = access.load_image(request, session, 'delete_image', for_update=True)
        if image.protected:
            raise exceptions.Forbidden(
                f'Image {image.image_id} is protected; set protected to false first.'
            )
        if services.conf.delayed_delete and image.locations:
            _delete_later(session, image)
            return image, []
        deletable = [
            status for status, after in domain.TRANSITIONS.items() if domain.DELETED in after
        ]
        if not images.delete(session, image.image_id, deletable, known=image):
            raise exceptions.StatusConflict(
                f'Image {image.image_id} cannot be deleted in status {image.status}.'
            )
        if image.import_task_id is not None:
            tasks.request_cancel(session, image.import_task_id)
        if image.status == domain.SAVING:  # its upload ends in a while, or has died
            for store in services.stores:
                removals.note_attempts(session, image.image_id, store.store_id)
        notes = removals.note(session, image.image_id, image.locations)
        image.status = domain.DELETED
        return image, notes

    image, notes = services.db.transact(
        work,
        done=lambda session: (
            ownership.of(session, request.args['image_id']).status
            in (domain.DELETED, domain.PENDING_DELETE)
        ),
    )
    _delete_data(services, image, notes)
    services.notifier.image('delete', image, deleted=True)
    return Reply(204)


def _delete_later(session: Session, image: domain.Image) -> None:
    """Hide an image from users, and leave its data to the scrubber."""
    if image.import_task_id is not None:
        tasks.request_cancel(session, image.import_task_id)
    if not pending.mark(session, image):
        raise exceptions.StatusConflict(
            f'Image {image.image_id} cannot be deleted in status {image.status}.'
        )
    image.status = domain.PENDING_DELETE


def _apply(
    request: Request, image: domain.Image, changes: list[json_patch.Change], edit: LocationEdit
) -> dict[str, Any]:
    """Make the changes of a patch to an image object; return the attributes that they set."""
    changed: dict[str, Any] = {}
    for change in changes:
        if change.name == json_patch.LOCATIONS:
            edit.apply(change)
            continue
        _require_change(request, image, change)
        if change.op == 'remove':
            del image.properties[change.name]
            continue
        value = {change.name: change.value}
        attributes.check_values(request, value)
        changed.update(value)
        attributes.assign(image, value)
    return changed


def _require_change(request: Request, image: domain.Image, change: json_patch.Change) -> None:
    """Raise unless a change is one that the caller may make to the image as it is."""
    name = change.name
    if name == 'id':
        raise exceptions.Forbidden("The attribute 'id' is read-only.")
    image_rules.require_writable(name)
    is_base = name in domain.BASE_ATTRIBUTES
    if not is_base:
        protection.require_change(request, image, change.op, name)
    _require_kept(request, change)
    if change.op == 'remove' and is_base:
        raise exceptions.Forbidden(f"The attribute '{name}' cannot be removed.")
    if change.op != 'add' and not is_base and name not in image.properties:
        raise exceptions.Conflict(f"The image has no property '{name[:255]}'.")
    if change.op == 'add' and change.strict_add and (is_base or name in image.properties):
        raise exceptions.Conflict(f"The image has the property '{name[:255]}' already.")
    if name in ('disk_format', 'container_format') and image.status not in (
        image_rules.FORMATS_OPEN
    ):
        raise exceptions.Forbidden(
            f"The attribute '{name}' can only be changed before the image has data; "
            f'its status is {image.status}.'
        )


def _require_kept(request: Request, change: json_patch.Change) -> None:
    """Raise if a change takes a property that images of this deployment must have."""
    if change.value is None and change.name in request.services.rules.properties.required:
        raise exceptions.Forbidden(f"The property '{change.name}' cannot be removed here.")


def _view(request: Request, image: domain.Image) -> dict[str, Any]:
    services = request.services
    shown = views.image(image)
    if image.locations and services.conf.show_image_direct_url:
        places = image.locations
        if image.import_task_id is not None:
            places = services.db.read(lambda session: checking.readable(session, image))
        shown['direct_url'] = services.stores.by_weight(places)[0].url
    if services.conf.show_multiple_locations:
        target = access.target_of(request.context, image)
        if services.policy.allows(request.context, 'get_image_location', target):
            shown['locations'] = [views.location(place) for place in image.locations]
    return shown


def _difference(before: dict[str, str], after: dict[str, str]) -> dict[str, str | None]:
    changes: dict[str, str | None] = {
        name: value for name, value in after.items() if before.get(name) != value
    }
    changes.update({name: None for name in before if name not in after})
    return changes


def _discovery_headers(request: Request) -> list[tuple[str, str]]:
    services = request.services
    headers = [('OpenStack-image-store-ids', ','.join(services.stores.ids))]
    if services.conf.enable_image_import and services.conf.enabled_import_methods:
        methods = ','.join(services.conf.enabled_import_methods)
        headers.insert(0, ('OpenStack-image-import-methods', methods))
    return headers


def _link(query: list[tuple[str, str]], marker: str | None) -> str:
    kept = [(name, value) for name, value in query if name != 'marker']
    if marker is not None:
        kept.append(('marker', marker))
    return '/v2/images' + ('?' + urllib.parse.urlencode(kept) if kept else '')


def _delete_data(services: Services, image: domain.Image, notes: list[removals.Removal]) -> None:
    """Remove the data of a deleted image; what cannot be removed, janitors try again."""
    for note in notes:
        removing.try_removal(services.db, services.stores, note)
    try:
        services.staging.remove_all(image.image_id)
    except OSError as error:
        LOG.warning('Image %s: its staged data was not deleted: %s', image.image_id, error)
