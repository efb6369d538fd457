# SPDX-License-Identifier: Apache-2.0
"""A store that only reads: data of images that somebody else serves under a URL.

It is fetched as downloads are: under the same filter, over the same connections, with the options
of ``[import_filtering_opts]`` and ``[web_download]``. Nothing here ever writes or deletes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NoReturn

from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.conf import import_filtering, web_download
from glance_lite.remote import http_source, urls
from glance_lite.remote.answer import AttemptFailed
from glance_lite.remote.http_source import HttpSource
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.stores import base

#: Statuses of a source that mean that the data is not there (RFC 9110 sections 15.5.5, 15.5.11).
_NOT_THERE = (404, 410)
#: Further tries at most: somebody waits for the data.
_RETRIES = 2


class HttpStore(base.Store):
    """Image data under http and https URLs."""

    read_only = True
    external_schemes = frozenset(urls.DEFAULT_PORTS)

    def __init__(self, store_id: str, conf: cfg.ConfigOpts, group: str) -> None:
        super().__init__(store_id, conf, group)
        import_filtering.register_opts(conf)
        web_download.register_opts(conf)
        self.reconfigure(conf)

    @classmethod
    def list_opts(cls) -> list[cfg.Opt]:
        """Return the options; how URLs are fetched is said elsewhere, see the module."""
        return [
            cfg.StrOpt('store_description', help='What the users see of the store beside its id.'),
            cfg.IntOpt('weight', default=0, help='Stores of more weight are read from first.'),
        ]

    def reconfigure(self, conf: cfg.ConfigOpts) -> None:
        options = HttpOptions.from_conf(conf)
        options = dataclasses.replace(options, retries=min(options.retries, _RETRIES))
        self._rules = UrlFilter.from_conf(conf), options

    def check_url(self, url: str) -> None:
        checked = http_source.check_source(*self._rules, url)
        if checked.authorization is not None:
            raise exceptions.InvalidRequest(
                f'The URL {checked.masked} has a user name or a password; locations may not.'
            )

    def open_writer(self, image_id: str, attempt: str, size: int | None = None) -> NoReturn:
        raise exceptions.StoreError(f'The store {self.store_id} is read-only.')

    def open_reader(self, url: str, offset: int = 0, length: int | None = None) -> base.StoreReader:
        return _HttpReader(self._source(url, offset, length), length)

    def size(self, url: str) -> int:
        reader = self.open_reader(url)
        reader.close()
        return reader.length

    def delete(self, url: str) -> None:
        self.size(url)
        raise exceptions.StoreError(f'The store {self.store_id} is read-only.')

    def discard_attempts(
        self, image_id: str, keep: str | None = None, confirm: Callable[[], object] | None = None
    ) -> None:
        """Do nothing: no attempt writes here."""

    def _source(self, url: str, offset: int, length: int | None) -> HttpSource:
        if urls.scheme_of(url) not in self.external_schemes:
            raise _missing()
        if length == 0:  # a range cannot be empty
            length = 1
        return HttpSource(*self._rules, url, offset=offset, length=length)


class _HttpReader(base.StoreReader):
    def __init__(self, source: HttpSource, length: int | None) -> None:
        self._source = source
        try:
            source.open()
        except exceptions.ImportFailed as error:
            raise _as_store_error(error) from error
        known = source.content_length if source.content_length is not None else length
        if known is None:
            source.close()
            raise exceptions.StoreError('The source of the image data does not tell its size.')
        self.length = known if length is None else min(known, length)
        self.total = source.total
        self._left = self.length

    def readinto(self, buffer: bytearray | memoryview) -> int:
        view = memoryview(buffer)[: self._left]
        if not view:
            return 0
        try:
            count = self._source.readinto(view)
        except exceptions.ImportFailed as error:
            raise _as_store_error(error) from error
        if not count:
            raise exceptions.StoreError(
                'The source of the image data sent less than was asked for.'
            )
        self._left -= count
        return count

    def close(self) -> None:
        self._source.close()


def _as_store_error(error: exceptions.ImportFailed) -> exceptions.StoreError:
    if isinstance(error, AttemptFailed) and error.status in _NOT_THERE:
        return _missing()
    return exceptions.StoreError(error.message)


def _missing() -> exceptions.StoreDataNotFound:
    return exceptions.StoreDataNotFound('The store has no data for this image.')
