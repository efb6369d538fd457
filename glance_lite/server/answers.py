# SPDX-License-Identifier: Apache-2.0
"""Call the WSGI application and frame its answer (PEP 3333, RFC 9112).

Runs in native threads and does no waiting for clients: what has to be sent is described by an
:class:`Answer` and sent by ``green``. Nothing here imports eventlet.
"""

import dataclasses
import logging
import os
import re
import select
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from glance_lite.server.bodies import BodyDisconnected, BodyTimeout, MalformedBody

LOG = logging.getLogger(__name__)

JOIN_LIMIT_BYTES = 64 * 1024
FILE_BLOCK_BYTES = 1024 * 1024
SEND_SLICE_SECONDS = 0.25
SEND_PATIENCE_MS = 20
SEND_STEP_BYTES = 512 * 1024

WSGIApplication = Callable[..., Iterable[bytes]]

_STATUS = re.compile(r'[1-9][0-9][0-9] [\t\x20-\x7e\xa0-\xff]*', re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_DIGITS = re.compile(r'[0-9]{1,19}', re.ASCII)
_UNSAFE = re.compile(r'[\x00\r\n]')
_HOP_BY_HOP = frozenset(
    ('connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade')
)


class FileWrapper:
    """``wsgi.file_wrapper``: a file, or a part of one, as an answer.

    ``offset`` (bytes; None: the current position) and ``length`` (bytes; None: to the end) are
    taken from attributes of the same names of ``filelike`` when it has them as integers, and may
    be set on the wrapper. A regular file goes out with ``sendfile``; anything else is read in
    blocks. A file shorter than ``length`` ends the connection, so the client sees the truncation.
    """

    def __init__(self, filelike: Any, block_bytes: int = FILE_BLOCK_BYTES) -> None:
        self.filelike = filelike
        self.block_bytes = block_bytes
        self.offset = _integer(getattr(filelike, 'offset', None))
        self.length = _integer(getattr(filelike, 'length', None))

    def __iter__(self) -> Iterator[bytes]:
        if self.offset is not None:
            self.filelike.seek(self.offset)
        left = self.length
        while left is None or left > 0:
            block = self.filelike.read(
                self.block_bytes if left is None else min(left, self.block_bytes)
            )
            if not block:
                return
            left = None if left is None else left - len(block)
            yield block

    def close(self) -> None:
        """Close the file if it can be closed."""
        if hasattr(self.filelike, 'close'):
            self.filelike.close()

    def extent(self) -> tuple[int, int, int] | None:
        """Return (descriptor, offset, length in bytes), or None when it is no regular file."""
        try:
            descriptor = self.filelike.fileno()
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            offset = self.filelike.tell() if self.offset is None else self.offset
        except (AttributeError, OSError, ValueError):
            return None
        length = max(0, status.st_size - offset) if self.length is None else self.length
        return descriptor, offset, length


@dataclasses.dataclass
class Answer:
    """What an application answered; at most one of ``stream`` and ``extent`` is set.

    ``body`` is complete unless ``stream`` is set, whose parts then follow it. ``extent`` is the
    (descriptor, offset, length in bytes) of a part of a regular file.
    ``park`` means that ``stream`` is to be read, by :func:`finish`, only when the function that is
    given to it has been called: an extension of WSGI, an attribute of the application's iterable.
    ``close`` belongs to the application's iterable and is called once, in a native thread.
    """

    status: str
    headers: list[tuple[str, str]]
    body: bytes = b''
    stream: Iterator[bytes] | None = None
    extent: tuple[int, int, int] | None = None
    close: Callable[[], None] | None = None
    park: Callable[[Callable[[], None]], None] | None = None

    @property
    def code(self) -> int:
        return int(self.status[:3])


@dataclasses.dataclass(frozen=True)
class Framing:
    """How an answer goes over the wire: its head, and the form of its body."""

    head: bytes
    has_body: bool
    chunked: bool
    length_bytes: int | None
    keep_alive: bool


def plain(status: str, sentence: str, *headers: tuple[str, str]) -> Answer:
    """Return a short answer of the server's own, as plain text."""
    body = (sentence + '\n').encode()
    return Answer(status, [('Content-Type', 'text/plain; charset=UTF-8'), *headers], body)


def call_application(application: WSGIApplication, environ: dict[str, Any]) -> Answer:
    """Run the application once; every failure becomes an answer, and is logged here.

    Body errors that the application lets through are the client's: 408 for a timeout, 400 for a
    malformed or unfinished body. Anything else is a 500 that tells the client nothing.
    """
    result: Any = None
    try:
        call = _Call()
        result = application(environ, call.start_response)
        return call.answer(result)
    except BodyTimeout:
        answer = plain('408 Request Timeout', 'The body of the request stopped coming.')
    except BodyDisconnected:
        answer = plain('400 Bad Request', 'The body of the request is not complete.')
    except MalformedBody as error:
        answer = plain('400 Bad Request', f'The body of the request is malformed: {error}.')
    except BaseException:
        LOG.exception(
            'The application failed on %s %s', environ['REQUEST_METHOD'], environ['PATH_INFO']
        )
        answer = plain('500 Internal Server Error', 'The service failed to answer.')
    answer.headers.append(('Connection', 'close'))
    close_quietly(getattr(result, 'close', None))
    return answer


def finish(answer: Answer) -> Answer:
    """Return a parked answer with its body."""
    assert answer.stream is not None
    try:
        return Answer(answer.status, answer.headers, answer.body + b''.join(answer.stream))
    except Exception:
        LOG.exception('The application failed after it was parked')
        return plain('500 Internal Server Error', 'The service failed to answer.')
    finally:
        close_quietly(answer.close)


class _Call:
    """The ``start_response`` side of one call."""

    def __init__(self) -> None:
        self._started: tuple[str, list[tuple[str, str]]] | None = None
        self._written: list[bytes] = []

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's; nothing is sent before the call returns, so it may be called again."""
        if self._started and not exc_info:
            raise RuntimeError('start_response was called twice without exc_info')
        if not _STATUS.fullmatch(status):
            raise ValueError(f'malformed status {status!r}')
        for name, value in headers:
            if not _TOKEN.fullmatch(name):
                raise ValueError(f'malformed header name {name!r}')
            if _UNSAFE.search(value):
                raise ValueError(f'a line break or NUL in the header {name}')
            value.encode('latin-1')
            if name.lower() == 'content-length' and not _DIGITS.fullmatch(value):
                raise ValueError(f'malformed Content-Length {value!r}')
        self._started = (status, list(headers))
        return self._written.append

    def answer(self, result: Iterable[bytes]) -> Answer:
        """Describe the result: joined when it is small, else as a file or a stream."""
        close = getattr(result, 'close', None)
        park = getattr(result, 'park', None)
        if park is not None and self._started:
            return Answer(*self._started, stream=iter(result), close=close, park=park)
        small = isinstance(result, list | tuple) or self._is_small()
        if isinstance(result, FileWrapper) and self._started and not small:
            extent = result.extent()
            if extent and not self._written:
                return Answer(*self._started, extent=extent, close=close)
        parts = iter(result)
        if small:
            self._written.extend(parts)
        elif not self._started:
            # A generator calls start_response at its first part (PEP 3333, "The
            # start_response() Callable").
            self._written.extend(part for part in [next(filter(None, parts), b'')] if part)
        if not self._started:
            raise RuntimeError('the application did not call start_response')
        body = b''.join(self._written)
        if not small:
            return Answer(*self._started, body=body, stream=parts, close=close)
        if close:
            close()
        return Answer(*self._started, body=body)

    def _is_small(self) -> bool:
        if not self._started:
            return False
        declared = _declared_length(self._started[1])
        return declared is not None and declared <= JOIN_LIMIT_BYTES


def frame(answer: Answer, method: str, version: str, keep_alive: bool, date: str) -> Framing:
    """Decide the length, coding and persistence of an answer and write its head.

    :param keep_alive: whether client and server would keep the connection.
    :param date: value of ``Date`` when the application gave none.
    """
    code = answer.code
    lines = [f'HTTP/1.1 {answer.status}']
    names = set()
    for name, value in answer.headers:
        names.add(name.lower())
        if name.lower() == 'connection' and 'close' in value.lower():
            keep_alive = False
        # A 204 has no length by rule (RFC 9110 section 8.6); the rest is this server's business.
        if name.lower() not in _HOP_BY_HOP | {'content-length'}:
            lines.append(f'{name}: {value}')
    length = _answer_length(answer)
    chunked = False
    has_body = method != 'HEAD' and code >= 200 and code not in (204, 304)
    if (
        code >= 200
        and code != 204
        and length is not None
        and (has_body or 'content-length' in names or length)
    ):
        lines.append(f'Content-Length: {length}')
    elif has_body:
        chunked = version == 'HTTP/1.1'
        keep_alive = keep_alive and chunked
        if chunked:
            lines.append('Transfer-Encoding: chunked')
    if 'date' not in names:
        lines.append(f'Date: {date}')
    if not keep_alive:
        lines.append('Connection: close')
    elif version == 'HTTP/1.0':
        lines.append('Connection: keep-alive')
    head = ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')
    return Framing(head, has_body, chunked, length, keep_alive)


def send_slice(
    out_descriptor: int, in_descriptor: int, offset: int, count: int
) -> tuple[int, bool]:
    """Send a part of a file to a non-blocking socket, for as long as the client keeps up.

    Returns (bytes sent, at end of file) after a quarter of a second, or sooner when the socket
    stays full for a moment: the caller then waits for it without holding a thread.

    :raises OSError: the client is gone.
    """
    sent = 0
    writable = select.poll()
    writable.register(out_descriptor, select.POLLOUT)
    deadline = time.monotonic() + SEND_SLICE_SECONDS
    while sent < count and time.monotonic() < deadline:
        try:
            # in steps: the client begins to read while the next one is being sent
            most = min(SEND_STEP_BYTES, count - sent)
            step = os.sendfile(out_descriptor, in_descriptor, offset + sent, most)
        except BlockingIOError:
            if not writable.poll(SEND_PATIENCE_MS):
                break
            continue
        if not step:
            return sent, True
        sent += step
    return sent, False


def next_part(stream: Iterator[bytes]) -> bytes | None:
    """Return the next part of a streamed answer, None at its end.

    :raises EOFError: the application failed, which is logged here.
    """
    try:
        return next(stream, None)
    except BaseException as error:
        LOG.exception('The application failed in the middle of an answer')
        raise EOFError('the application did not finish its answer') from error


def close_quietly(close: Callable[[], None] | None) -> None:
    """Close an application's iterable; a failure is logged, as the answer is out already."""
    if close:
        try:
            close()
        except Exception:
            LOG.exception('Closing an answer failed')


def _answer_length(answer: Answer) -> int | None:
    declared = _declared_length(answer.headers)
    if answer.stream is not None:
        return declared
    if declared is not None:
        return declared
    return answer.extent[2] if answer.extent else len(answer.body)


def _declared_length(headers: list[tuple[str, str]]) -> int | None:
    for name, value in headers:
        if name.lower() == 'content-length':
            return int(value)
    return None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
