# SPDX-License-Identifier: Apache-2.0
"""The bytes of an image: upload straight to a store, stage for an import, download.

No transaction is open while bytes move. Whatever goes wrong on the way, the image returns to
``queued`` and nothing that was written stays.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from oslo_log import log

from glance_lite import exceptions, inspection, notifications, quotas, removing
from glance_lite.api import access, body, errors, ranges, sending
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import images, ownership, removals, staged, uploads
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, import_request, quota
from glance_lite.domain.quota import Budget, Limits, Room
from glance_lite.image_data import Facts, transfer
from glance_lite.image_import import checking
from glance_lite.stores import files
from glance_lite.stores.base import Store, StoreReader
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import seal

LOG = log.getLogger(__name__)

_Opened = TypeVar('_Opened')
_Decision = TypeVar('_Decision')
_Otherwise = TypeVar('_Otherwise')

OCTET_STREAM = 'application/octet-stream'

#: Seconds for which received data waits for a database that is away.
PATIENCE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class _Body:
    """A body to read: the bytes announced, if any, and what its project may have."""

    source: body.BodySource
    expected: int | None
    limits: Limits
    budget: Budget


def upload_data(request: Request) -> Reply:
    """``PUT /v2/images/{image_id}/file``: store the body as the data of a queued image."""
    limits = access.limits_of_owner(request, 'upload_image', quota.STORED, quota.ARRIVING)
    with request.services.receiving.receive() as token:
        with request.services.receiving.beginning():
            image, (store, data) = _begin(
                request, 'upload_image', domain.SAVING, token, limits, _open_upload
            )
        notifier = request.services.notifier
        notifier.image('prepare', dataclasses.replace(image, status=domain.SAVING))
        location = None
        try:
            location, facts = _store(request, image, store, data)
            _publish(request, image, location, facts, data.limits, token)
        except BaseException as error:
            if not _undo_upload(request, image, token, error, location):
                raise
    image = dataclasses.replace(
        image, status=domain.ACTIVE, locations=[location] if location else [], **facts.columns
    )
    notifier.image('upload', image)
    notifier.image('activate', image)
    return Reply(204)


def stage_data(request: Request) -> Reply:
    """``PUT /v2/images/{image_id}/stage``: keep the body of a queued image for glance-direct."""
    services = request.services
    if import_request.GLANCE_DIRECT not in services.conf.enabled_import_methods:
        raise exceptions.FeatureDisabled(
            f'Staging is not offered here, as the import method {import_request.GLANCE_DIRECT} '
            'is not.'
        )
    limits = access.limits_of_owner(request, 'modify_image', quota.STAGED, quota.ARRIVING)
    with services.receiving.receive() as token:
        with services.receiving.beginning():
            image, data = _begin(
                request, 'modify_image', domain.UPLOADING, token, limits, _open_stage
            )
        file_name = f'{image.image_id}.{_attempt()}'
        try:
            facts = _stage(request, image, file_name, data)
            _record_staged(request, image, file_name, facts, data.limits, token)
        except BaseException as error:
            if not _undo_stage(request, image, token, error, file_name):
                raise
    return Reply(204)


def download_data(request: Request) -> Reply:
    """``GET /v2/images/{image_id}/file``: send the data, or the range of it that was asked for."""
    preferred = _preferred_stores(request)

    def work(session: Session) -> domain.Image:
        image = access.load_image(request, session, 'download_image')
        if preferred:
            access.require(request, session, image, 'download_from_store')
        image.locations = checking.readable(session, image)
        return image

    image = request.services.db.read(work)
    if image.status == domain.DEACTIVATED and not request.context.is_admin:
        raise exceptions.Forbidden('The image is deactivated; its data cannot be downloaded.')
    if image.status not in (domain.ACTIVE, domain.DEACTIVATED) or not image.locations:
        return Reply(204)
    size = image.size or 0
    part = ranges.parse(request.headers, size)
    offset, length = part or (0, size)
    store, reader = _open_reader(request.services.stores, image, preferred, offset, length)
    if reader.length != length or reader.total not in (None, size):
        reader.close()
        LOG.error('Image %s: its data in store %s has another size', image.image_id, store.store_id)
        raise exceptions.StoreError('The data of the image is not whole in its store.')
    headers = [('Content-Type', OCTET_STREAM), ('Content-Length', str(length))]
    if image.checksum:
        headers.append(('Content-MD5', image.checksum))
    if part is not None:
        headers.append(('Content-Range', f'bytes {offset}-{offset + length - 1}/{size}'))
    elif store.can_seek:
        headers.append(('Accept-Ranges', 'bytes'))
    tell = _tell_of_sending(request, image, length)
    data = sending.stream(request.environ, reader, size, tell)
    return Reply(206 if part else 200, None, headers, data)


def _tell_of_sending(
    request: Request, image: domain.Image, expected: int
) -> Callable[[int], object] | None:
    """Return what tells others that data of the image was sent; None if nobody wants to know."""
    notifier = request.services.notifier
    if not notifier.wants('image.send'):
        return None
    context, address = request.context, request.remote_addr

    def tell(sent: int) -> None:
        notifier.emit(
            'image.send',
            {
                'bytes_sent': sent,
                'image_id': image.image_id,
                'owner_id': image.owner,
                'receiver_tenant_id': context.project_id,
                'receiver_user_id': context.user_id,
                'destination_ip': address,
            },
            notifications.INFO if sent == expected else notifications.ERROR,
        )

    return tell


def _begin(
    request: Request,
    rule: str,
    status: str,
    token: str,
    limits: Limits,
    open_body: Callable[[Request, Session, domain.Image, Limits], _Opened],
) -> tuple[domain.Image, _Opened]:
    """Move the queued image on, so that no other request writes its data, if all is in order.

    :param open_body: judges the headers, and what the project has, before anything changes; its
        result is returned.
    """

    def work(session: Session) -> tuple[domain.Image, _Opened]:
        image = access.load_image(request, session, rule)
        if request.content_type != OCTET_STREAM:
            raise exceptions.UnsupportedMediaType(
                f'Image data is taken with Content-Type {OCTET_STREAM} only.'
            )
        opened = open_body(request, session, image, limits)
        if not images.update(session, image.image_id, from_status=domain.QUEUED, status=status):
            found = images.get_bare(session, image.image_id).status
            raise exceptions.StatusConflict(
                f'Image {image.image_id} is in status {found}; data is taken only in status '
                f'{domain.QUEUED}.'
            )
        uploads.begin(session, image.image_id, token)
        return image, opened

    image_id = request.args['image_id']
    return request.services.db.transact(
        work, done=lambda session: uploads.is_current(session, image_id, token)
    )


def _open_upload(
    request: Request, session: Session, image: domain.Image, limits: Limits
) -> tuple[Store, _Body]:
    access.require_way_past_import(request)
    store = _chosen_store(request)
    image_rules.require_formats(image, exceptions.InvalidRequest)
    rooms = quotas.room_to_store(session, limits, image.owner)
    return store, _open_body(request, session, image, limits, rooms)


def _open_stage(request: Request, session: Session, image: domain.Image, limits: Limits) -> _Body:
    rooms = quotas.room_to_stage(session, limits, image.owner)
    return _open_body(request, session, image, limits, rooms)


def _chosen_store(request: Request) -> Store:
    stores = request.services.stores
    wanted = request.headers.get('X-Image-Meta-Store')
    if not wanted:
        return stores.default
    if wanted not in stores:
        raise exceptions.InvalidRequest(
            f'X-Image-Meta-Store: there is no such store; the stores are: {", ".join(stores.ids)}.'
        )
    store = stores.get(wanted)
    if store.read_only:
        raise exceptions.InvalidRequest(f'X-Image-Meta-Store: the store {wanted} is read-only.')
    return store


def _open_body(
    request: Request, session: Session, image: domain.Image, limits: Limits, rooms: list[Room]
) -> _Body:
    """Return the body, if it may come; nothing is read yet."""
    source = body.BodySource(request.environ)
    announced = request.headers.get('x-openstack-image-size')
    expected = source.length
    if announced is not None:
        if not (announced.isascii() and announced.isdigit()):
            raise exceptions.InvalidRequest('The header x-openstack-image-size is not a number.')
        expected = int(announced)
        if source.length is not None and source.length != expected:
            raise exceptions.InvalidRequest(
                f'The header x-openstack-image-size says {expected} bytes, Content-Length says '
                f'{source.length}.'
            )
    elif source.is_empty:
        expected = 0
    cap = request.services.conf.image_size_cap
    if expected is not None and expected > cap:
        raise exceptions.LimitExceeded(f'The image data is larger than the limit of {cap} bytes.')
    quotas.require_arrival(session, limits, image.owner)
    budget = Budget(rooms)
    budget.require(expected)
    return _Body(source, expected, limits, budget)


def _store(
    request: Request,
    image: domain.Image,
    store: Store,
    data: _Body,
) -> tuple[domain.Location, Facts]:
    writer = store.open_writer(image.image_id, _attempt(), data.expected)
    try:
        facts = _transfer(request, image, data, writer.write, plugins=())
    except BaseException:
        writer.abort()
        raise
    stored = writer.commit()
    return domain.Location(store.store_id, stored.url, stored.metadata), facts


def _publish(
    request: Request,
    image: domain.Image,
    location: domain.Location,
    facts: Facts,
    limits: Limits,
    token: str,
) -> None:
    """Make the image active.

    :raises Gone: it was deleted meanwhile.
    :raises LimitExceeded: others used up what was left when the data began to come.
    """

    def work(session: Session) -> None:
        _require_ours(session, image, token)
        Budget(quotas.room_to_store(session, limits, image.owner)).require(facts.size)
        images.update(
            session,
            image.image_id,
            from_status=domain.SAVING,
            status=domain.ACTIVE,
            **facts.columns,
        )
        images.set_locations(session, image.image_id, [location])
        undeclared = inspection.undeclared(facts.finding.formats, image.disk_format)
        images.set_properties(
            session,
            image.image_id,
            {domain.UNCHECKED: unchecked, domain.CONTENT_FORMAT: undeclared},
        )

    unchecked = 'upload' if request.services.plugins.names else None
    request.services.db.transact(
        work,
        done=lambda session: _is_published(session, image, location),
        patience=PATIENCE_SECONDS,
    )


def _require_ours(session: Session, image: domain.Image, token: str) -> None:
    """Raise unless this request still decides on the image; it ends its upload.

    :raises Gone: the image was deleted meanwhile.
    :raises StatusConflict: the upload counted as lost, as its process was silent for too long.
    """
    if not uploads.end(session, image.image_id, token):
        raise _given_up(session, image)


def _given_up(session: Session, image: domain.Image) -> exceptions.GlanceLiteError:
    """Return the error of an upload that others have ended."""
    try:
        images.get(session, image.image_id)
    except exceptions.ImageNotFound:
        return exceptions.Gone(f'Image {image.image_id} was deleted while its data came.')
    return exceptions.StatusConflict(
        'The service lost sight of this upload and gave it up; send the data again.'
    )


def _stage(request: Request, image: domain.Image, file_name: str, data: _Body) -> dict[str, Any]:
    staging = request.services.staging
    fd = staging.create(file_name)
    try:
        facts = _transfer(
            request,
            image,
            data,
            lambda piece: files.write_all(fd, piece),
            plugins=request.services.plugins.names,
        )
        return facts.to_record() | {'mtime_ns': seal(fd)}
    except BaseException:
        staging.remove(file_name)
        raise
    finally:
        os.close(fd)


def _record_staged(
    request: Request,
    image: domain.Image,
    file_name: str,
    facts: dict[str, Any],
    limits: Limits,
    token: str,
) -> None:
    area = request.services.staging.area_id

    def work(session: Session) -> None:
        _require_ours(session, image, token)
        Budget(quotas.room_to_stage(session, limits, image.owner)).require(facts['size'])
        images.update(session, image.image_id, from_status=domain.UPLOADING, size=facts['size'])
        staged.insert(session, staged.Staged(image.image_id, area, file_name, facts))

    request.services.db.transact(
        work,
        done=lambda session: _is_staged(session, image, file_name),
        patience=PATIENCE_SECONDS,
    )


def _is_published(session: Session, image: domain.Image, location: domain.Location) -> bool:
    return (location.store, location.url) in ownership.of(session, image.image_id).places


def _is_staged(session: Session, image: domain.Image, file_name: str) -> bool:
    found = staged.get(session, image.image_id)
    return found is not None and found.file_name == file_name


def _transfer(
    request: Request,
    image: domain.Image,
    data: _Body,
    write: Callable[[memoryview], None],
    plugins: Sequence[str],
) -> Facts:
    conf = request.services.conf
    rules = request.services.format_rules(plugins)

    def write_what_fits(piece: memoryview) -> None:
        data.budget.spend(len(piece))
        write(piece)

    return transfer(
        data.source,
        write_what_fits,
        hash_algo=conf.hashing_algorithm,
        max_bytes=conf.image_size_cap,
        expected_bytes=data.expected,
        inspector=rules.inspector(image.disk_format, image.container_format),
    )


def _undo_upload(
    request: Request,
    image: domain.Image,
    token: str,
    error: BaseException,
    location: domain.Location | None,
) -> bool:
    """Make the image as it was, and remove what was stored.

    True if the image is active after all: it was, and only the answer to the commit was lost.

    :raises Gone, StatusConflict: others had ended the upload, and took its data from the store.
    """
    services = request.services
    given_up: exceptions.GlanceLiteError | None = None

    def work(session: Session) -> list[removals.Removal] | None:
        nonlocal given_up
        ours = _release(session, image, domain.SAVING, token)
        given_up = None if ours else _given_up(session, image)
        if location is None:
            return []
        if not ours and _is_published(session, image, location):
            return None
        return removals.note(session, image.image_id, [location])

    notes = _decide(request, image, error, work, [])
    for note in notes or []:
        removing.try_removal(services.db, services.stores, note)
    if given_up is not None and isinstance(error, exceptions.StoreError):
        raise given_up from error
    return notes is None


def _undo_stage(
    request: Request, image: domain.Image, token: str, error: BaseException, file_name: str
) -> bool:
    """Make the image as it was, and remove what was staged; True as above, if it is staged."""

    def work(session: Session) -> bool:
        ours = _release(session, image, domain.UPLOADING, token)
        return not ours and _is_staged(session, image, file_name)

    is_staged = _decide(request, image, error, work, None)
    if is_staged is False:
        request.services.staging.remove(file_name)
    return bool(is_staged)


def _release(session: Session, image: domain.Image, from_status: str, token: str) -> bool:
    """Return the image to ``queued``; False if it was deleted, published or given up meanwhile."""
    if not uploads.end(session, image.image_id, token):
        return False
    return images.update(
        session, image.image_id, from_status=from_status, status=domain.QUEUED, **images.NO_DATA
    )


def _decide(
    request: Request,
    image: domain.Image,
    error: BaseException,
    work: Callable[[Session], _Decision],
    otherwise: _Otherwise,
) -> _Decision | _Otherwise:
    """Return what ``work`` decides on the image, or ``otherwise`` if nothing can be decided now.

    Then a janitor does it, as the upload gives no more signs of life.
    """
    if isinstance(error, errors.IncompleteBody):
        LOG.info('Image %s: the client left before its data was complete', image.image_id)
    try:
        return request.services.db.transact(work)
    except Exception:
        LOG.exception('Image %s is left to a janitor', image.image_id)
        return otherwise


def _attempt() -> str:
    return uuid.uuid4().hex[:12]


def _preferred_stores(request: Request) -> list[str]:
    """Return the stores that the query parameter ``prefer`` names, in its order."""
    return [
        store_id
        for name, value in request.query
        if name == 'prefer'
        for store_id in value.split(',')
        if store_id
    ]


def _open_reader(
    stores: StoreRegistry, image: domain.Image, preferred: list[str], offset: int, length: int
) -> tuple[Store, StoreReader]:
    """Open the data in the first store that gives it.

    :raises InvalidRequest: ``preferred`` names a store that there is not.
    :raises StoreError: no store gives it.
    """
    for store_id in preferred:
        if store_id not in stores:
            raise exceptions.InvalidRequest(
                f'The query parameter prefer may name these stores: {", ".join(stores.ids)}.'
            )
    for location in stores.by_weight(image.locations, preferred):
        try:
            store = stores.get(location.store)
            if offset and not store.can_seek:
                raise exceptions.InvalidRequest('The store cannot send a range of the data.')
            return store, store.open_reader(location.url, offset, length)
        except (exceptions.StoreError, exceptions.StoreNotFound) as error:
            LOG.warning('Image %s in store %s: %s', image.image_id, location.store, error)
    raise exceptions.StoreError('The data of the image cannot be read from its store.')
