# SPDX-License-Identifier: Apache-2.0
"""Bring one file or URL into the service: make the image, stage the data, ask for the import."""

from __future__ import annotations

import dataclasses
import posixpath
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glance_lite.client import formats, watch
from glance_lite.client.display import Display
from glance_lite.client.errors import ClientError, ServiceRefused, UsageError
from glance_lite.client.service import ImageService
from glance_lite.client.upload import FileUpload

_SCHEME = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*://')
_HASH = re.compile(r'([a-z0-9_-]+):([0-9a-fA-F]+)')


@dataclasses.dataclass(frozen=True)
class Order:
    """What a user wants imported: ``source`` is a path or a URL, ``stores`` ids (empty: default).

    ``expected_hash`` is ``algorithm:hex`` and is compared by the service with the downloaded bytes.
    """

    source: str
    name: str | None = None
    disk_format: str | None = None
    container_format: str = 'bare'
    visibility: str | None = None
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stores: tuple[str, ...] = ()
    expected_hash: str | None = None


def is_url(source: str) -> bool:
    """Tell whether a source is a URL, which the service downloads, and not a path of this host."""
    return _SCHEME.match(source) is not None


class Importer:
    """Does one import. ``image_id`` is known from the first success on; ``step`` says where it is:

    ``create``, ``stage`` (bytes are sent) or ``import`` (the service works alone).
    """

    def __init__(self, service: ImageService, display: Display) -> None:
        self._service = service
        self._display = display
        self.image_id: str | None = None
        self.task_id: str | None = None
        self.step = 'create'

    def start(self, order: Order) -> None:
        """Do everything up to the accepted import. Sequence: check, create, stage, import.

        A service that refuses before any byte was sent leaves no image behind.

        :raises UsageError: if the order makes no sense; nothing was changed.
        :raises ClientError: if the service refuses or cannot be reached.
        """
        upload = None if is_url(order.source) else self._upload(order.source)
        request = _request(order)
        attributes = _attributes(order)
        self._check_stores(order.stores)
        image = self._service.create_image(attributes)
        self.image_id = str(image['id'])
        self._display.note(
            f'Image {self.image_id} "{attributes["name"]}", '
            f'{attributes["disk_format"]}, is created.'
        )
        try:
            self._check_method(request)
            if upload is None:
                self._start_import(request)
        except ServiceRefused:
            self._forget_image()
            raise
        if upload is not None:
            self._stage(upload)
            self._start_import(request)

    def retry(self, image: Mapping[str, Any], source: str | None, stores: tuple[str, ...]) -> None:
        """Import again under the same image: what was staged, a new source, or the last URL.

        :raises UsageError: if the image needs another source, or none.
        """
        self.image_id = str(image['id'])
        status = image.get('status')
        last = watch.newest_import(self._service.list_tasks(self.image_id), None)
        previous = _previous_request(last)
        if status == 'uploading' and source is None:
            request: dict[str, Any] = {**previous, 'method': {'name': 'glance-direct'}}
        elif status == 'queued' and source is not None:
            request = {**previous, 'method': _method(source, None)}
            if not is_url(source):
                self._stage(self._upload(source))
        elif status == 'queued' and _uri(previous) is not None:
            request = previous
        else:
            raise UsageError(_why_no_retry(image, source))
        if stores:
            request = {key: request[key] for key in request if key != 'all_stores'}
            request['stores'] = list(stores)
        self._start_import(request)

    def _upload(self, source: str) -> FileUpload:
        upload = FileUpload(Path(source))
        upload.on_bytes = lambda done: self._display.update('stage', done, upload.size)
        return upload

    def _stage(self, upload: FileUpload) -> None:
        self.step = 'stage'
        self._display.update('stage', 0, upload.size)
        try:
            self._service.stage(self.image_id or '', upload)
        except ClientError:
            self._display.end_phase(failed=True)
            raise
        self._display.end_phase()

    def _start_import(self, request: Mapping[str, Any]) -> None:
        self.task_id = self._service.start_import(self.image_id or '', request)
        self.step = 'import'

    def _check_stores(self, stores: tuple[str, ...]) -> None:
        """Refuse a store that does not exist before gigabytes were sent."""
        known = self._service.list_stores() if stores else []
        for store in stores:
            if store not in known:
                raise UsageError(f'There is no store {store}. Stores: {", ".join(known)}.')

    def _check_method(self, request: Mapping[str, Any]) -> None:
        offered, wanted = self._service.methods, request['method']['name']
        if offered is not None and wanted not in offered:
            raise ServiceRefused(
                f'This service does not offer the import method {wanted}, only '
                f'{", ".join(offered) or "none"}.',
                400,
            )

    def _forget_image(self) -> None:
        """Delete the image that was just made, as nothing will come of it."""
        try:
            self._service.delete_image(self.image_id or '')
        except ClientError:
            self._display.note(f'The empty image {self.image_id} could not be deleted.')
            return
        self._display.note('The empty image is deleted again.')
        self.image_id = None


def _attributes(order: Order) -> dict[str, Any]:
    """Return the body of the request that creates the image."""
    attributes: dict[str, Any] = dict(order.properties)
    attributes |= {
        'name': order.name or _name_of(order.source),
        'disk_format': order.disk_format or _format_of(order.source),
        'container_format': order.container_format,
    }
    if order.visibility:
        attributes['visibility'] = order.visibility
    if order.tags:
        attributes['tags'] = list(order.tags)
    return attributes


def _name_of(source: str) -> str:
    path = urllib.parse.urlsplit(source).path if is_url(source) else source
    file_name = posixpath.basename(path.rstrip('/'))
    return posixpath.splitext(file_name)[0] or 'image'


def _format_of(source: str) -> str:
    found = formats.of_url(source) if is_url(source) else formats.of_file(Path(source))
    if found is None:
        raise UsageError(
            f'The disk format of {_name_of(source)} cannot be told '
            f'{"from the URL" if is_url(source) else "from its content"}: give --disk-format.'
        )
    return found


def _request(order: Order) -> dict[str, Any]:
    """Return the body of the import request."""
    request: dict[str, Any] = {'method': _method(order.source, order.expected_hash)}
    if order.stores:
        request['stores'] = list(order.stores)
    return request


def _method(source: str, expected_hash: str | None) -> dict[str, Any]:
    if not is_url(source):
        if expected_hash:
            raise UsageError('--hash goes with a URL; the data of a file is sent by this program.')
        return {'name': 'glance-direct'}
    if source.lower().startswith('file:'):
        raise UsageError('Give the path of a local file without file://.')
    method: dict[str, Any] = {'name': 'web-download', 'uri': source}
    if expected_hash:
        parts = _HASH.fullmatch(expected_hash)
        if parts is None:
            raise UsageError('--hash must be ALGORITHM:HEX, such as sha512:9b71d2...')
        algorithm, value = parts.group(1), parts.group(2).lower()
        method['validation_data'] = {'os_hash_algo': algorithm, 'os_hash_value': value}
    return method


def _previous_request(task: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the import request that a task was made from, as far as the service shows it."""
    given = (task or {}).get('input')
    if isinstance(given, Mapping) and isinstance(given.get('import_req'), Mapping):
        given = given['import_req']
    if not isinstance(given, Mapping):
        return {}
    kept = ('method', 'stores', 'all_stores', 'all_stores_must_succeed')
    return {key: given[key] for key in kept if given.get(key) not in (None, [])}


def _uri(request: Mapping[str, Any]) -> str | None:
    """Return the URL of an earlier request if it can be used again (credentials are not shown)."""
    method = request.get('method')
    uri = method.get('uri') if isinstance(method, Mapping) else None
    return uri if isinstance(uri, str) and '***' not in uri else None


def _why_no_retry(image: Mapping[str, Any], source: str | None) -> str:
    status, image_id = image.get('status'), image.get('id')
    if status == 'queued':
        return f'Image {image_id} has no data: give the file or the URL as well.'
    if status == 'uploading' and source is not None:
        return (
            f'Image {image_id} has staged data: leave the file or URL away to import that, or '
            'make a new image.'
        )
    if status == 'importing':
        return f'An import of image {image_id} is running: glance-lite watch {image_id}'
    return f'Image {image_id} is {status}; only a queued or uploading image can be imported.'
