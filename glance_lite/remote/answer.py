# SPDX-License-Identifier: Apache-2.0
"""The answer to one GET: whether it can be used, and its body.

A body is whole or an error: it is read only if its framing tells where it ends. How the answer was
asked for is ``exchange.py``; trying again is ``http_source.py``.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import urllib3
from urllib3.connection import HTTPConnection

from glance_lite.exceptions import ImportFailed
from glance_lite.remote import sockets
from glance_lite.remote.options import SECTION, HttpOptions
from glance_lite.remote.urls import CheckedUrl

#: Statuses worth another try besides 5xx (RFC 9110 section 15.5.9, RFC 6585 section 4).
PASSING = frozenset({408, 425, 429})
CHUNK_BYTES = 1024 * 1024
#: A read returns what it has after this long, or when nothing more comes at once.
FILL_SECONDS = 0.25


class AttemptFailed(ImportFailed):
    """An attempt failed; ``passing`` tells whether the next may succeed within this import.

    ``wait_seconds`` is what the source asked to wait (Retry-After), ``status`` what it answered.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        passing: bool,
        retryable: bool | None = None,
        wait_seconds: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(code, message, retryable=retryable)
        self.passing = passing
        self.status = status
        self.wait_seconds = wait_seconds


class Answer:
    """An open answer with status 200 or 206, ready to be read once."""

    def __init__(
        self,
        checked: CheckedUrl,
        response: urllib3.HTTPResponse,
        connection: HTTPConnection,
        sock: socket.socket,
        patience: sockets.Patience,
        source: str,
    ) -> None:
        self.checked = checked
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._connection = connection
        self._sock = sock
        self._patience = patience
        # A TLS read brings one record at most (RFC 8446 section 5.1); asking for more only costs.
        self._piece_bytes = 16384 if isinstance(sock, ssl.SSLSocket) else CHUNK_BYTES
        self._source = source
        self._failure: AttemptFailed | None = None

    @property
    def body_bytes(self) -> int | None:
        """Bytes that this answer announces, or None when it is chunked or unframed."""
        length = self.headers.get('content-length')
        return None if length is None or 'transfer-encoding' in self.headers else int(length)

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` as far as bytes come without a pause; 0 means the whole body was read.

        :raises AttemptFailed: ``source_truncated`` or ``source_timeout``.
        """
        if self._failure is not None:
            raise self._failure
        filled, ends_at = 0, time.monotonic() + FILL_SECONDS
        try:
            while filled < len(view):
                data = self._response.read1(
                    min(len(view) - filled, self._piece_bytes), decode_content=False
                )
                if not data:
                    break
                view[filled : filled + len(data)] = data
                filled += len(data)
                if time.monotonic() > ends_at or not sockets.more_at_once(
                    self._sock, self._patience
                ):
                    break
        except sockets.Stalled:
            self._failure = AttemptFailed(
                'source_timeout', f'The source {self._source} stopped sending.', passing=True
            )
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            self._failure = AttemptFailed(
                'source_truncated',
                f'The source {self._source} sent less than it announced.',
                passing=True,
            )
        if self._failure is not None and not filled:
            raise self._failure
        return filled

    def close(self) -> None:
        """Drop the connection, whatever was read."""
        self._response.close()
        self._connection.close()


def check_answer(answer: Answer, options: HttpOptions, source: str) -> None:
    """Refuse an answer whose body is not the image, or could not be told from a part of it.

    Statuses 200, 206 and 416 pass; what they mean depends on what was asked.

    :raises AttemptFailed: ``source_http_error``.
    """
    status, headers = answer.status, answer.headers
    if status not in (200, 206, 416):
        passing = status >= 500 or status in PASSING
        known = status in http.client.responses
        name = f' {http.client.responses[status]}' if known else ''
        raise AttemptFailed(
            'source_http_error',
            f'The source {source} answered {status}{name}.',
            passing=passing,
            retryable=passing,
            wait_seconds=_retry_after(headers) if passing else None,
            status=status,
        )
    trouble = _framing_trouble(headers, options)
    if trouble:
        raise AttemptFailed(
            'source_http_error',
            f'The source {source} {trouble}.',
            passing=False,
            retryable=False,
        )


def _framing_trouble(headers: Mapping[str, str], options: HttpOptions) -> str | None:
    encoding = headers.get('content-encoding', 'identity').strip().lower()
    if encoding not in ('', 'identity'):
        return 'sent encoded content (Content-Encoding), although it was asked for the bytes as is'
    transfer = headers.get('transfer-encoding')
    if transfer is not None:
        chunked = transfer.strip().lower() == 'chunked'
        return None if chunked else 'used a Transfer-Encoding that is not chunked'
    length = headers.get('content-length')
    if length is None:
        if options.require_framing:
            return (
                'gave neither Content-Length nor chunked framing, so a cut body could not be told '
                f'from a whole one ({SECTION} require_framing)'
            )
        return None
    return None if re.fullmatch('[0-9]{1,18}', length) else 'sent a malformed Content-Length'


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3) as seconds from now."""
    value = headers.get('retry-after', '').strip()
    if re.fullmatch('[0-9]{1,9}', value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
