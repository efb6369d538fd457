# SPDX-License-Identifier: Apache-2.0
"""``swift://host/account/container/object``: an object of Swift, read over HTTP.

Such a URL is another way to write ``https://host/v1/account/container/object``, which passes the
same filter as any other and is fetched in the same way. Messages show it as it was given.
"""

from __future__ import annotations

import urllib.parse
from typing import Self

from glance_lite.exceptions import ImportFailed
from glance_lite.remote import urls
from glance_lite.remote.http_source import HttpSource
from glance_lite.remote.url_filter import UrlRefused

_PREFIX = 'swift://'


def to_http(url: str, scheme: str, path: str) -> str:
    """Return the URL under which Swift serves the object.

    :param scheme: that of Swift's API, http or https.
    :param path: the beginning of the paths of Swift's API, as ``v1``.
    :raises UrlRefused: it is malformed, or names no object.
    """
    masked = urls.mask_url(url)
    try:
        checked = urls.parse_url(url)
    except urls.UrlSyntaxError as error:
        raise UrlRefused(masked, str(error)) from None
    if checked.authorization is not None:
        raise UrlRefused(masked, 'a swift URL takes no user and password')
    host, _, name = url[len(_PREFIX) :].partition('#')[0].partition('/')
    parts = name.partition('?')[0].split('/', 2)
    if len(parts) < 3 or not all(parts):
        raise UrlRefused(masked, f'it must have the form {_PREFIX}host/account/container/object')
    if not {'.', '..'}.isdisjoint(urllib.parse.unquote('/'.join(parts)).split('/')):
        raise UrlRefused(masked, 'a part of its path is . or .., which some would leave out')
    return f'{scheme}://{host}/{path.strip("/")}/{name}'


def account_of(url: str) -> str:
    """Return the account in a URL that :func:`to_http` accepts, as it is written there."""
    return url[len(_PREFIX) :].split('/', 2)[1]


class SwiftSource:
    """An :class:`HttpSource` whose errors name the object as its user did."""

    def __init__(self, source: HttpSource, fetched: str, given: str) -> None:
        """Read ``source``, which fetches ``fetched`` for what the user called ``given``."""
        self._source = source
        self._fetched = urls.mask_url(fetched)
        self._given = urls.mask_url(given)
        #: Size in bytes as announced, or None when the source does not tell.
        self.content_length: int | None = None

    def open(self) -> Self:
        """Connect and read the headers; errors as of :meth:`HttpSource.open`."""
        try:
            self._source.open()
        except ImportFailed as error:
            raise self._shown(error) from error
        self.content_length = self._source.content_length
        return self

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill the buffer; errors as of :meth:`HttpSource.readinto`."""
        try:
            return self._source.readinto(buffer)
        except ImportFailed as error:
            raise self._shown(error) from error

    def close(self) -> None:
        """Drop the connection."""
        self._source.close()

    def _shown(self, error: ImportFailed) -> ImportFailed:
        message = error.message.replace(self._fetched, self._given)
        return ImportFailed(error.code, message, retryable=error.retryable)
