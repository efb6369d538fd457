# SPDX-License-Identifier: Apache-2.0
"""The bytes of an image: upload straight to a store, stage for an import, download.

No transaction is open while bytes move. Whatever goes wrong on the way, the image returns to
``queued`` and nothing that was written stays.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Any

from oslo_log import log

from glance_lite import exceptions, inspection
from glance_lite.api import access, body, errors, ranges, sending
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import images, staged, uploads
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, import_request
from glance_lite.image_data import Facts, transfer
from glance_lite.stores import files
from glance_lite.stores.base import Store, StoreReader
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import seal

LOG = log.getLogger(__name__)

OCTET_STREAM = 'application/octet-stream'


def upload_data(request: Request) -> Reply:
    """``PUT /v2/images/{image_id}/file``: store the body as the data of a queued image."""
    with request.services.receiving.receive() as token:
        with request.services.receiving.beginning():
            image = _load(request, 'upload_image')
            store = _chosen_store(request)
            image_rules.require_formats(image, exceptions.InvalidRequest)
            source, expected = _open_body(request)
            _enter(request, image, domain.SAVING, token)
        try:
            location, facts = _store(request, image, store, source, expected)
            try:
                _publish(request, image, location, facts, token)
            except BaseException:
                store.delete(location.url)
                raise
        except BaseException as error:
            _return_to_queued(request, image, domain.SAVING, token, error)
            raise
    return Reply(204)


def stage_data(request: Request) -> Reply:
    """``PUT /v2/images/{image_id}/stage``: keep the body of a queued image for glance-direct."""
    services = request.services
    if import_request.GLANCE_DIRECT not in services.conf.enabled_import_methods:
        raise exceptions.FeatureDisabled(
            f'Staging is not offered here, as the import method {import_request.GLANCE_DIRECT} '
            'is not.'
        )
    with services.receiving.receive() as token:
        with services.receiving.beginning():
            image = _load(request, 'modify_image')
            source, expected = _open_body(request)
            _enter(request, image, domain.UPLOADING, token)
        file_name = f'{image.image_id}.{_attempt()}'
        try:
            facts = _stage(request, file_name, source, expected)
            _record_staged(request, image, file_name, facts, token)
        except BaseException as error:
            services.staging.remove(file_name)
            _return_to_queued(request, image, domain.UPLOADING, token, error)
            raise
    return Reply(204)


def download_data(request: Request) -> Reply:
    """``GET /v2/images/{image_id}/file``: send the data, or the range of it that was asked for."""
    with request.services.db.reader() as session:
        image = access.load_image(request, session, 'download_image')
    if image.status == domain.DEACTIVATED and not request.context.is_admin:
        raise exceptions.Forbidden('The image is deactivated; its data cannot be downloaded.')
    if image.status not in (domain.ACTIVE, domain.DEACTIVATED) or not image.locations:
        return Reply(204)
    size = image.size or 0
    part = ranges.parse(request.headers, size)
    offset, length = part or (0, size)
    store, reader = _open_reader(request, image, offset, length)
    if reader.length != length:
        reader.close()
        LOG.error('Image %s: its data in store %s is too short', image.image_id, store.store_id)
        raise exceptions.StoreError('The data of the image is not whole in its store.')
    headers = [('Content-Type', OCTET_STREAM), ('Content-Length', str(length))]
    if image.checksum:
        headers.append(('Content-MD5', image.checksum))
    if part is not None:
        headers.append(('Content-Range', f'bytes {offset}-{offset + length - 1}/{size}'))
    elif store.can_seek:
        headers.append(('Accept-Ranges', 'bytes'))
    return Reply(206 if part else 200, None, headers, sending.stream(request.environ, reader, size))


def _load(request: Request, rule: str) -> domain.Image:
    """Return the image if the caller may send data for it, and sends what may be data."""
    with request.services.db.reader() as session:
        image = access.load_image(request, session, rule)
    if request.content_type != OCTET_STREAM:
        raise exceptions.UnsupportedMediaType(
            f'Image data is taken with Content-Type {OCTET_STREAM} only.'
        )
    return image


def _chosen_store(request: Request) -> Store:
    stores = request.services.stores
    wanted = request.headers.get('X-Image-Meta-Store')
    if not wanted:
        return stores.default
    if wanted not in stores:
        raise exceptions.InvalidRequest(
            f'X-Image-Meta-Store: there is no such store; the stores are: {", ".join(stores.ids)}.'
        )
    return stores.get(wanted)


def _open_body(request: Request) -> tuple[body.BodySource, int | None]:
    """Return the body and the bytes that the headers announce; checked before anything changes."""
    source = body.BodySource(request.environ)
    announced = request.headers.get('x-openstack-image-size')
    expected = source.length
    if announced:
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
    return source, expected


def _enter(request: Request, image: domain.Image, status: str, token: str) -> None:
    """Move a queued image on, so that no other request writes its data."""

    def work(session: Session) -> str | None:
        if images.update(session, image.image_id, from_status=domain.QUEUED, status=status):
            uploads.begin(session, image.image_id, token)
            return None
        return images.get(session, image.image_id).status

    found = request.services.db.transact(work)
    if found is None:
        return
    raise exceptions.StatusConflict(
        f'Image {image.image_id} is in status {found}; data is taken only in status '
        f'{domain.QUEUED}.'
    )


def _store(
    request: Request,
    image: domain.Image,
    store: Store,
    source: body.BodySource,
    expected: int | None,
) -> tuple[domain.Location, Facts]:
    conf = request.services.conf
    writer = store.open_writer(image.image_id, _attempt(), expected)
    try:
        facts = _transfer(request, source, writer.write, expected)
        inspection.FormatRules.from_conf(conf).check(facts.finding, image.disk_format or '')
    except BaseException:
        writer.abort()
        raise
    stored = writer.commit()
    return domain.Location(store.store_id, stored.url, stored.metadata), facts


def _publish(
    request: Request, image: domain.Image, location: domain.Location, facts: Facts, token: str
) -> None:
    """Make the image active.

    :raises Gone: it was deleted meanwhile.
    """

    def work(session: Session) -> None:
        _require_ours(session, image, token)
        images.update(
            session,
            image.image_id,
            from_status=domain.SAVING,
            status=domain.ACTIVE,
            **facts.columns,
        )
        images.set_locations(session, image.image_id, [location])

    request.services.db.transact(work)


def _require_ours(session: Session, image: domain.Image, token: str) -> None:
    """Raise unless this request still decides on the image; it ends its upload.

    :raises Gone: the image was deleted meanwhile.
    :raises StatusConflict: the upload counted as lost, as its process was silent for too long.
    """
    if uploads.end(session, image.image_id, token):
        return
    try:
        images.get(session, image.image_id)
    except exceptions.ImageNotFound:
        raise exceptions.Gone(f'Image {image.image_id} was deleted while its data came.') from None
    raise exceptions.StatusConflict(
        'The service lost sight of this upload and gave it up; send the data again.'
    )


def _stage(
    request: Request, file_name: str, source: body.BodySource, expected: int | None
) -> dict[str, Any]:
    fd = request.services.staging.create(file_name)
    try:
        facts = _transfer(request, source, lambda data: files.write_all(fd, data), expected)
        return facts.to_record() | {'mtime_ns': seal(fd)}
    finally:
        os.close(fd)


def _record_staged(
    request: Request, image: domain.Image, file_name: str, facts: dict[str, Any], token: str
) -> None:
    area = request.services.staging.area_id

    def work(session: Session) -> None:
        _require_ours(session, image, token)
        images.update(session, image.image_id, from_status=domain.UPLOADING, size=facts['size'])
        staged.insert(session, staged.Staged(image.image_id, area, file_name, facts))

    request.services.db.transact(work)


def _transfer(
    request: Request,
    source: body.BodySource,
    write: Callable[[memoryview], None],
    expected: int | None,
) -> Facts:
    conf = request.services.conf
    return transfer(
        source,
        write,
        hash_algo=conf.hashing_algorithm,
        max_bytes=conf.image_size_cap,
        expected_bytes=expected,
    )


def _return_to_queued(
    request: Request, image: domain.Image, from_status: str, token: str, error: BaseException
) -> None:
    """Make the image as it was, unless it was deleted or given to another upload meanwhile."""
    if isinstance(error, errors.IncompleteBody):
        LOG.info('Image %s: the client left before its data was complete', image.image_id)

    def work(session: Session) -> None:
        if uploads.end(session, image.image_id, token):
            images.update(
                session,
                image.image_id,
                from_status=from_status,
                status=domain.QUEUED,
                **images.NO_DATA,
            )

    try:
        request.services.db.transact(work)
    except Exception:
        LOG.exception('Image %s stays in status %s', image.image_id, from_status)


def _attempt() -> str:
    return uuid.uuid4().hex[:12]


def _open_reader(
    request: Request, image: domain.Image, offset: int, length: int
) -> tuple[Store, StoreReader]:
    """Open the data in the first store that gives it.

    :raises InvalidRequest: ``prefer`` names a store that there is not.
    :raises StoreError: no store gives it.
    """
    stores = request.services.stores
    preferred = [
        store_id
        for name, value in request.query
        if name == 'prefer'
        for store_id in value.split(',')
        if store_id
    ]
    for store_id in preferred:
        if store_id not in stores:
            raise exceptions.InvalidRequest(
                f'The query parameter prefer may name these stores: {", ".join(stores.ids)}.'
            )
    for location in sorted(image.locations, key=lambda place: _rank(stores, preferred, place)):
        try:
            store = stores.get(location.store)
            if offset and not store.can_seek:
                raise exceptions.InvalidRequest('The store cannot send a range of the data.')
            return store, store.open_reader(location.url, offset, length)
        except (exceptions.StoreError, exceptions.StoreNotFound) as error:
            LOG.warning('Image %s in store %s: %s', image.image_id, location.store, error)
    raise exceptions.StoreError('The data of the image cannot be read from its store.')


def _rank(stores: StoreRegistry, preferred: list[str], place: domain.Location) -> tuple[int, int]:
    if place.store in preferred:
        return preferred.index(place.store), 0
    weight = stores.get(place.store).weight if place.store in stores else -1
    return len(preferred), -weight
