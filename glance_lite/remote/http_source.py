# SPDX-License-Identifier: Apache-2.0
"""A URL as a stream of bytes that is whole or an error, never something in between.

What goes wrong in passing is tried again with growing pauses. When bytes were already handed out,
the rest is asked for by Range, and only if the source proves by a strong validator (RFC 9110
section 8.8) that it still has the same bytes.

What a user may learn (the service must not serve as a port scanner): a name without an address, a
closed port, a silent one, an unroutable one and one that is no web server give one code and one
sentence, after the same retries. Only the filter's refusals, statuses, certificates and stalls of
real web servers are told apart. One GET with its redirects is ``exchange.py``, its body
``answer.py``; what happens to the bytes is the caller's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Self

from oslo_log import log as logging

from glance_lite.exceptions import ImportFailed
from glance_lite.remote import exchange
from glance_lite.remote.answer import CHUNK_BYTES, Answer, AttemptFailed
from glance_lite.remote.options import MAX_BACKOFF_SECONDS, HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.remote.urls import CheckedUrl, mask_url

LOG = logging.getLogger(__name__)

#: Attempts that gain so many bytes start the count of failures afresh.
PROGRESS_BYTES = 1024 * 1024
TICK_SECONDS = 0.25
#: A Last-Modified this much older than Date is a strong validator (RFC 9110 section 8.8.2.2).
SETTLED_SECONDS = 60.0

_CONTENT_RANGE = re.compile(r'bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)')


def check_source(url_filter: UrlFilter, options: HttpOptions, url: object) -> CheckedUrl:
    """Judge a URL for a request that wants it fetched later: as written, and as it resolves now.

    Takes up to the resolve timeout. Behind a proxy a name need not resolve here.

    :raises UrlRefused: when it is not permitted.
    """
    checked = url_filter.check_url(url)
    direct = options.proxy_for(checked) is None
    return url_filter.check_resolved(url, must_resolve=direct)


class HttpSource:
    """The bytes behind a URL. For one thread at a time.

    :param max_bytes: more than this is ``too_large``, at once when the source announces it.
    :param offset: the first byte that is wanted. A source that does not know ranges sends what is
        before it, too; it is passed over.
    :param length: bytes wanted from there on at most; None for all.
    :param headers: secret headers, sent only to the origin of ``url``, never after a redirect to
        another.
    :param should_stop: called before each chunk and several times a second while waiting for the
        source or for the next try; it raises to stop, and its exception passes through unchanged.
    """

    def __init__(
        self,
        url_filter: UrlFilter,
        options: HttpOptions,
        url: str,
        *,
        max_bytes: int | None = None,
        offset: int = 0,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
        should_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = exchange.Client(url_filter, options, should_stop)
        self._url = url
        self._max_bytes = max_bytes
        self._offset, self._length = offset, length
        self._secrets = dict(headers or {})
        self._answer: Answer | None = None
        self._validator: str | None = None
        self._skip = 0
        self._done = False
        self._failures = 0
        self._failed_at = 0
        #: Size of the whole in bytes as announced, or None when the source does not tell.
        self.total: int | None = None
        #: Bytes that will come, or None when the source does not tell.
        self.content_length: int | None = None
        self.etag: str | None = None
        self.last_modified: str | None = None
        #: The URL after redirects, without secrets.
        self.final_url = mask_url(url)
        #: Bytes handed out so far.
        self.bytes_read = 0
        #: Attempts that failed and were repeated.
        self.retries = 0

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> Self:
        """Connect and read the headers; afterwards size and validators are known.

        :raises ImportFailed: with the codes of a source; see :meth:`readinto`.
        """
        while self._answer is None and not self._done:
            self._client.should_stop()
            try:
                self._begin()
            except AttemptFailed as error:
                self._recover(error)
        return self

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill ``buffer`` as far as bytes come without a pause; 0 means the whole source was read.

        :raises UrlRefused: ``filtered_uri``, for the URL or the target of a redirect.
        :raises ImportFailed: ``source_unreachable``, ``source_timeout``, ``source_http_error``,
            ``source_changed``, ``source_truncated``, ``tls_error`` or ``too_large``.
        """
        view = memoryview(buffer).cast('B')
        while not self._done:
            self.open()
            self._client.should_stop()
            try:
                count = self._read(view)
            except AttemptFailed as error:
                self._recover(error)
                continue
            if count or self._done:
                return count
        return 0

    def read_chunks(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yield what is left of the source in pieces of at most ``chunk_bytes``."""
        buffer = bytearray(chunk_bytes)
        while count := self.readinto(buffer):
            yield bytes(memoryview(buffer)[:count])

    def close(self) -> None:
        """Drop the connection. May be called at any time and more than once."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _read(self, view: memoryview) -> int:
        assert self._answer is not None
        if self._skip:
            skipped = self._answer.readinto(view[: self._skip])
            if not skipped:
                raise self._failure('source_truncated', 'sent less than before', passing=True)
            self._skip -= skipped
            return 0
        if self._length is not None:
            view = view[: self._length - self.bytes_read]
        count = self._answer.readinto(view) if view else 0
        if not count:
            self._finish()
        self._check_cap(self.bytes_read + count)
        self.bytes_read += count
        return count

    def _finish(self) -> None:
        if self.content_length is not None and self.bytes_read != self.content_length:
            raise self._failure('source_truncated', 'sent less than it announced', passing=True)
        self._done = True
        self.close()

    def _begin(self) -> None:
        options = self._client.options
        headers = {
            'Accept': '*/*',
            'Accept-Encoding': 'identity',
            'User-Agent': options.user_agent,
        }
        if self.bytes_read or self._is_part:
            headers['Range'] = self._range()
        if self.bytes_read:
            assert self._validator is not None
            headers['If-Range'] = self._validator
        answer = exchange.get(self._client, self._url, headers, self._secrets)
        try:
            if self.bytes_read:
                self._resume(answer)
            else:
                self._start(answer)
            self._check_cap(self.content_length or 0)
        except BaseException:
            answer.close()
            raise
        self._answer = answer

    @property
    def _is_part(self) -> bool:
        return self._offset > 0 or self._length is not None

    def _range(self) -> str:
        last = '' if self._length is None else self._offset + self._length - 1
        return f'bytes={self._offset + self.bytes_read}-{last}'

    def _start(self, answer: Answer) -> None:
        total: int | None
        if answer.status == 206 and self._is_part:
            start, total = self._part_of(answer)
            if start != self._offset:
                raise self._changed()
        elif answer.status == 200:
            total = answer.body_bytes
            self._skip = self._offset
        else:
            what = 'a part' if self._is_part else 'the whole'
            raise self._failure(
                'source_http_error',
                f'answered {answer.status} to a request for {what}',
                passing=False,
            )
        if self.total not in (None, total):
            raise self._changed()
        self.total = total
        self.content_length = self._wanted(total)
        self.etag = answer.headers.get('etag')
        self.last_modified = answer.headers.get('last-modified')
        self.final_url = answer.checked.masked
        self._validator = _strong_validator(answer.headers)

    def _resume(self, answer: Answer) -> None:
        theirs = _strong_validator(answer.headers)
        position = self._offset + self.bytes_read
        if answer.status == 200:
            # The source ignores ranges. If it vouches for the same bytes, pass over what we have.
            if theirs != self._validator or answer.body_bytes != self.total:
                raise self._changed()
            self._skip = position
            return
        if answer.status != 206:
            raise self._changed()
        start, total = self._part_of(answer)
        if start != position or self.total not in (None, total):
            raise self._changed()
        if self.etag and answer.headers.get('etag', self.etag) != self.etag:
            raise self._changed()
        self.total = total
        self.content_length = self._wanted(total)
        self._skip = 0

    def _part_of(self, answer: Answer) -> tuple[int, int]:
        """Return where the part begins that an answer has, and the size of the whole."""
        match = _CONTENT_RANGE.fullmatch(answer.headers.get('content-range', ''))
        if not match:
            raise self._changed()
        start, last = int(match[1]), int(match[2])
        if match[3] == '*' and self._length is not None:
            raise self._changed()
        total = last + 1 if match[3] == '*' else int(match[3])
        wanted = self._wanted(total)
        if last + 1 != self._offset + (wanted or 0):
            raise self._changed()
        return start, total

    def _wanted(self, total: int | None) -> int | None:
        """Return the bytes that are wanted of a whole of this size."""
        if total is None:
            return None
        rest = max(0, total - self._offset)
        return rest if self._length is None else min(self._length, rest)

    def _recover(self, error: AttemptFailed) -> None:
        """Wait for the next attempt, or raise ``error`` if there must be none."""
        self.close()
        if self.bytes_read - self._failed_at >= PROGRESS_BYTES:
            self._failures = 0
        self._failed_at = self.bytes_read
        self._failures += 1
        options = self._client.options
        if not error.passing or self._failures > options.retries:
            raise error
        if self.bytes_read and self._validator is None:
            raise error
        if (error.wait_seconds or 0.0) > MAX_BACKOFF_SECONDS:
            raise error
        growing = options.retry_backoff * 2.0 ** min(self._failures - 1, 16)
        seconds = max(min(growing, MAX_BACKOFF_SECONDS), error.wait_seconds or 0.0)
        LOG.warning(
            'Trying again in %.1f s at byte %d: %s', seconds, self.bytes_read, error.message
        )
        self.retries += 1
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self._client.should_stop()
            time.sleep(min(left, TICK_SECONDS))

    def _check_cap(self, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise ImportFailed(
                'too_large',
                f'The source {mask_url(self._url)} is larger than the limit of '
                f'{self._max_bytes} bytes.',
            )

    def _changed(self) -> AttemptFailed:
        return self._failure('source_changed', 'changed during the download', passing=False)

    def _failure(self, code: str, what: str, *, passing: bool) -> AttemptFailed:
        return AttemptFailed(code, f'The source {mask_url(self._url)} {what}.', passing=passing)


def _strong_validator(headers: Mapping[str, str]) -> str | None:
    """Return what may stand in If-Range (RFC 9110 section 13.1.5), if the source gave it."""
    etag = headers.get('etag', '').strip()
    if re.fullmatch('"[\x21\x23-\x7e]*"', etag):
        return etag
    try:
        modified = headers.get('last-modified', '').strip()
        age = parsedate_to_datetime(headers.get('date', '')) - parsedate_to_datetime(modified)
    except (ValueError, TypeError):
        return None
    return modified if age.total_seconds() >= SETTLED_SECONDS else None
