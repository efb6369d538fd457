# SPDX-License-Identifier: Apache-2.0
"""Request bodies: JSON within a limit, and image data as a source of bytes on any WSGI server."""

from __future__ import annotations

import json
from typing import Any

from glance_lite import exceptions
from glance_lite.api.errors import IncompleteBody

#: Media types of forms.
_FORMS = ('application/x-www-form-urlencoded', 'multipart/form-data')
_TYPOGRAPHIC = '\u201c\u201d\u201e\u2018\u2019'


class BodySource:
    """The body of a request as ``image_data.transfer`` reads it.

    Ends at ``Content-Length``, or where the server says that a chunked body ends. With neither
    there is no body.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        """Look at the headers; nothing is read.

        :raises InvalidRequest: Content-Length is no number.
        """
        self._input = environ['wsgi.input']
        self.length = _content_length(environ)
        chunked = 'chunked' in environ.get('HTTP_TRANSFER_ENCODING', '').lower()
        self._left: int | None = self.length or 0
        if self.length is None and chunked:
            self._left = None
            if not environ.get('wsgi.input_terminated'):
                self._input = _ChunkedByUwsgi()
        self._direct = hasattr(self._input, 'readinto')

    @property
    def is_empty(self) -> bool:
        """Whether the headers say that there is no body."""
        return self._left == 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer from its start; return how many bytes, 0 at the end.

        :raises IncompleteBody: the client left or broke the coding.
        """
        if self._left is not None:
            buffer = buffer[: self._left]
        if not len(buffer):
            return 0
        try:
            if self._direct:
                count = self._input.readinto(buffer) or 0
            else:
                data = self._input.read(len(buffer))
                count = len(data)
                buffer[:count] = data
        except (OSError, ValueError) as error:
            raise IncompleteBody('The request body did not arrive whole.') from error
        if self._left is not None:
            self._left -= count
        return count

    def read_all(self, limit_bytes: int) -> bytes:
        """Return the whole body.

        :raises LimitExceeded: it is longer than the limit.
        :raises IncompleteBody: it ended early.
        """
        if self._left is not None and self._left > limit_bytes:
            raise _too_long(limit_bytes)
        buffer = bytearray(min(limit_bytes, self._left if self._left is not None else 8192) + 1)
        filled = 0
        while True:
            count = self.readinto(memoryview(buffer)[filled:])
            filled += count
            if not count:
                break
            if filled > limit_bytes:
                raise _too_long(limit_bytes)
            if filled == len(buffer):
                buffer += bytes(min(len(buffer), limit_bytes + 1 - filled))
        if self.length is not None and filled < self.length:
            raise IncompleteBody('The request body ended before its announced length.')
        return bytes(buffer[:filled])


def read_json(environ: dict[str, Any], limit_bytes: int, example: str | None = None) -> Any:
    """Return the JSON body.

    :param example: a right body, which the messages show.
    :raises InvalidRequest: there is none, or it is not JSON.
    :raises LimitExceeded: it is longer than the limit.
    """
    raw = BodySource(environ).read_all(limit_bytes)
    try:
        return _parse_json(raw, environ.get('CONTENT_TYPE', ''))
    except exceptions.InvalidRequest as error:
        if example is None:
            raise
        raise exceptions.InvalidRequest(f'{error.message} A right body: {example}') from None


def _parse_json(raw: bytes, content_type: str) -> Any:
    if not raw.strip():
        raise exceptions.InvalidRequest('The request needs a JSON body, and has none.')
    try:
        text = raw.decode('utf-8')
    except UnicodeDecodeError:
        raise exceptions.InvalidRequest('The request body is not UTF-8 text.') from None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise exceptions.InvalidRequest(
            f'Malformed JSON in the request body at line {error.lineno}, column {error.colno}: '
            f'{error.msg}.{_hint(text, content_type)}'
        ) from None
    except (ValueError, RecursionError):
        raise exceptions.InvalidRequest(
            'Malformed JSON in the request body: a number or a nesting is out of bounds.'
        ) from None


def _hint(text: str, content_type: str) -> str:
    """Return what is probably wrong with a body that is no JSON."""
    if any(mark in text for mark in _TYPOGRAPHIC):
        return ' It has typographic quotes where JSON wants ".'
    if content_type.startswith(_FORMS):
        return ' It is a form, and must be JSON.'
    return ''


class _ChunkedByUwsgi:
    """uWSGI hands out chunked bodies by a call of its own, chunk by chunk."""

    def __init__(self) -> None:
        try:
            import uwsgi
        except ImportError:
            raise exceptions.InvalidRequest(
                'A chunked body is not taken here; send Content-Length.'
            ) from None
        self._read_chunk = uwsgi.chunked_read
        self._rest = b''

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = self._read_chunk()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _content_length(environ: dict[str, Any]) -> int | None:
    text = environ.get('CONTENT_LENGTH')
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise exceptions.InvalidRequest('The header Content-Length is not a number.')
    return int(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _too_long(limit_bytes: int) -> exceptions.LimitExceeded:
    return exceptions.LimitExceeded(
        f'The request body is longer than the limit of {limit_bytes} bytes.'
    )
