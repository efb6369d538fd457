# SPDX-License-Identifier: Apache-2.0
"""Request bodies that a native thread reads straight from the client's socket.

Framing only (RFC 9112 sections 6 and 7): sized and chunked bodies, lazy ``100 Continue``, idle
timeout, disconnects. Parsing request heads, choosing a thread and closing connections belong to
``green``. Nothing here imports eventlet.
"""

import io
import socket
from typing import Any

READ_AHEAD_BYTES = 64 * 1024
CHUNK_LINE_LIMIT_BYTES = 4096
TRAILER_LIMIT_BYTES = 16 * 1024
_HEX = frozenset(b'0123456789abcdefABCDEF')


class BodyTimeout(TimeoutError):
    """The client sent nothing for the idle timeout in the middle of a body."""


class BodyDisconnected(ConnectionError):
    """The client left before the body was complete."""


class MalformedBody(ValueError):
    """The body breaks the chunked coding of RFC 9112 section 7.1."""


class BodySource:
    """Bytes of one connection: first what the head's reader had read too far, then the socket.

    :param sock: a duplicate of the client's socket, owned (and closed) by this object. A
        duplicate, because the number of a closed descriptor may at once be another client's.
    :param head: bytes that follow the request head and were read with it.
    :param idle_timeout_seconds: longest silence before :class:`BodyTimeout`; 0 is for ever.
    :param expects_continue: send ``100 Continue`` before the first read of the socket, unless
        the client has begun to send without waiting (RFC 9110 section 10.1.1).
    """

    def __init__(
        self,
        sock: socket.socket,
        head: bytes,
        idle_timeout_seconds: float,
        expects_continue: bool = False,
    ) -> None:
        sock.settimeout(idle_timeout_seconds or None)
        self._sock = sock
        self._timeout_seconds = idle_timeout_seconds
        self.head = head
        self.awaits_continue = expects_continue and not head

    def read_into(self, view: memoryview) -> int:
        """Fill the start of a view and return how many bytes, at least one.

        :raises BodyTimeout: nothing came for the idle timeout.
        :raises BodyDisconnected: the client closed or reset the connection.
        """
        if self.head:
            count = min(len(view), len(self.head))
            view[:count] = self.head[:count]
            self.head = self.head[count:]
            return count
        try:
            if self.awaits_continue:
                self.awaits_continue = False
                self._sock.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
            count = self._sock.recv_into(view)
        except TimeoutError:
            raise BodyTimeout(
                f'the client sent no part of the body for {self._timeout_seconds:g} seconds'
            ) from None
        except OSError:
            count = 0
        if not count:
            raise BodyDisconnected('the client left before the body was complete')
        return count

    def close(self) -> None:
        """Close the duplicate; reading afterwards raises :class:`BodyDisconnected`."""
        self._sock.close()


class SizedBody(io.RawIOBase):
    """A body of ``Content-Length`` bytes; never reads beyond it, so keep-alive survives."""

    def __init__(self, source: BodySource, length_bytes: int) -> None:
        self._source = source
        self.unread_bytes = length_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at least one byte unless the body is at its end; errors as the source's."""
        wanted = min(len(buffer), self.unread_bytes)
        if not wanted:
            return 0
        count = self._source.read_into(memoryview(buffer)[:wanted])
        self.unread_bytes -= count
        return count

    @property
    def reusable(self) -> bool:
        """Tell whether the connection stands exactly behind this body."""
        return not self.unread_bytes

    @property
    def on_wire_bytes(self) -> int:
        """How much of the body nobody has taken from the socket yet."""
        return self.unread_bytes - len(self._source.head)


class ChunkedBody(io.RawIOBase):
    """A body in the chunked coding; trailers are read and dropped.

    Strict on purpose: sizes are plain hexadecimal, lines end with CRLF, and lines and trailers
    are limited, because every leniency here is a way to smuggle a request past a proxy.
    """

    on_wire_bytes = None

    def __init__(self, source: BodySource) -> None:
        self._source = source
        self._pending = bytearray()
        self._chunk_bytes = 0
        self._between_chunks = False
        self.finished = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at least one byte unless the body is at its end.

        :raises MalformedBody: the chunked coding is broken; and the source's errors.
        """
        if self.finished or not len(buffer):
            return 0
        if not self._chunk_bytes:
            self._next_chunk()
            if self.finished:
                return 0
        view = memoryview(buffer)[: self._chunk_bytes]
        if self._pending:
            count = min(len(view), len(self._pending))
            view[:count] = self._pending[:count]
            del self._pending[:count]
        else:
            count = self._source.read_into(view)
        self._chunk_bytes -= count
        self._between_chunks = not self._chunk_bytes
        return count

    @property
    def reusable(self) -> bool:
        """Tell whether the connection stands exactly behind this body.

        False too when bytes of a next request were read already: they cannot be given back.
        """
        return self.finished and not self._pending and not self._source.head

    def _next_chunk(self) -> None:
        if self._between_chunks and self._line(2):
            raise MalformedBody('a chunk is longer than its header says')
        self._between_chunks = False
        digits = self._line(CHUNK_LINE_LIMIT_BYTES).split(b';', 1)[0].rstrip(b' \t')
        if not 0 < len(digits) <= 16 or not _HEX.issuperset(digits):
            raise MalformedBody('a chunk header does not start with a hexadecimal size')
        self._chunk_bytes = int(digits, 16)
        if not self._chunk_bytes:
            self._drop_trailers()
            self.finished = True

    def _drop_trailers(self) -> None:
        allowance = TRAILER_LIMIT_BYTES
        while line := self._line(CHUNK_LINE_LIMIT_BYTES):
            allowance -= len(line)
            if allowance < 0:
                raise MalformedBody(f'the trailers exceed {TRAILER_LIMIT_BYTES} bytes')

    def _line(self, limit_bytes: int) -> bytes:
        """Return one line without its CRLF; the limit counts the CRLF."""
        while (end := self._pending.find(b'\n', 0, limit_bytes)) < 0:
            if len(self._pending) >= limit_bytes:
                raise MalformedBody(f'a line of the chunked coding exceeds {limit_bytes} bytes')
            scratch = bytearray(READ_AHEAD_BYTES)
            count = self._source.read_into(memoryview(scratch))
            self._pending += memoryview(scratch)[:count]
        line = bytes(self._pending[: end + 1])
        del self._pending[: end + 1]
        if not line.endswith(b'\r\n'):
            raise MalformedBody('a line of the chunked coding does not end with CRLF')
        return line[:-2]


def open_body(source: BodySource, length_bytes: int | None) -> SizedBody | ChunkedBody:
    """Return the body of a request: sized, or chunked when ``length_bytes`` is None."""
    return ChunkedBody(source) if length_bytes is None else SizedBody(source, length_bytes)
