# SPDX-License-Identifier: Apache-2.0
"""One client connection: parse a request, have it answered, again until one side closes.

Waits for the client in a green thread and for the application on the bridge. Accepting, counting
and stopping connections belong to ``service``; the rules for heads, bodies and answers to
``heads``, ``bodies`` and ``answers``.
"""

import email.utils
import functools
import io
import logging
import socket
import sys
import time
from typing import Any, Protocol

import eventlet
from eventlet import hubs

from glance_lite.server import answers, bodies, heads
from glance_lite.server.bridge import Bridge
from glance_lite.server.options import AccessRecord, ServerOptions

LOG = logging.getLogger(__name__)

SMALL_BODY_BYTES = 64 * 1024
DRAIN_LIMIT_BYTES = 1024 * 1024
LINGER_SECONDS = 2.0
OCTET_STREAM = 'application/octet-stream'


class Owner(Protocol):
    """What a connection needs to know of its server."""

    application: answers.WSGIApplication
    options: ServerOptions
    bridge: Bridge
    stopping: bool
    crowded: bool

    def enter(self, connection: 'Connection') -> None: ...

    def leave(self, connection: 'Connection') -> None: ...

    def set_idle(self, connection: 'Connection', idle: bool) -> None: ...


class Connection:
    """One client: parse a request, have it answered, again until one side closes."""

    def __init__(self, sock: Any, address: Any, server: Owner) -> None:
        """Begin; :meth:`serve` does the work.

        :param sock: the client's green socket; the caller closes it.
        :param address: what ``accept`` told of the client.
        """
        self._server = server
        self._options = server.options
        self.connection = sock
        self.rfile: Any = sock.makefile('rb')
        self.close_connection = True
        self._unread_bytes: int | None = 0
        self.sent_bytes = 0
        self.method, self.path, self.version = '', '', 'HTTP/1.1'
        self._client, client_port = _host_and_port(address)
        host, port = _host_and_port(sock.getsockname())
        self._environ: dict[str, Any] = {
            'wsgi.version': (1, 0),
            'wsgi.url_scheme': 'http',
            'wsgi.errors': sys.stderr,
            'wsgi.multithread': True,
            'wsgi.multiprocess': True,
            'wsgi.run_once': False,
            'wsgi.input_terminated': True,
            'wsgi.file_wrapper': answers.FileWrapper,
            'GATEWAY_INTERFACE': 'CGI/1.1',
            'SERVER_NAME': host,
            'SERVER_PORT': port,
            'REMOTE_ADDR': self._client,
            'REMOTE_PORT': client_port,
        }
        if sock.family != socket.AF_UNIX:
            # Whole answers are written at once; to wait for acknowledgements, or to let the client
            # wait for ours, only delays the tail.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def serve(self) -> None:
        """Answer requests until one side closes; errors of the socket pass."""
        self._server.enter(self)
        try:
            self._handle_one_request()
            while not self.close_connection:
                self._handle_one_request()
        finally:
            self._server.leave(self)
            self.rfile.close()
            self._shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """End the wait for a next request; one that has arrived already is still answered."""
        self._server.set_idle(self, False)
        self._shutdown(socket.SHUT_RD)

    def cut(self) -> None:
        """End the connection whatever it is doing."""
        self._shutdown(socket.SHUT_RDWR)

    def _shutdown(self, how: int) -> None:
        try:
            self.connection.shutdown(how)
        except OSError:
            pass

    def _handle_one_request(self) -> None:
        """Serve one request; ``close_connection`` then says whether another may follow."""
        self.close_connection = True
        self._unread_bytes = 0
        self.sent_bytes = 0
        began = time.monotonic()
        self.method, self.path, self.version = '', '', 'HTTP/1.1'
        try:
            self.connection.settimeout(self._options.client_socket_timeout_seconds or None)
            self._server.set_idle(self, True)
            try:
                if self._server.stopping:
                    self.hang_up()
                held = self.rfile.peek(1)
                if not held:
                    return
                began = time.monotonic()
                head = self._read_head(held)
            finally:
                self._server.set_idle(self, False)
            self.method, self.path, self.version = head.method, head.target, head.version
            self.connection.settimeout(self._options.body_idle_timeout_seconds or None)
            status = self._answer_request(head)
        except heads.Refused as refused:
            self._unread_bytes = None
            status = refused.answer.code
            self._send(refused.answer, False)
        if self._options.access_log:
            self._options.access_log(
                AccessRecord(
                    self._client,
                    self.method,
                    self.path,
                    status,
                    self.sent_bytes,
                    time.monotonic() - began,
                )
            )
        if self.close_connection and self._unread_bytes != 0:
            self._linger()

    def _read_head(self, held: bytes) -> heads.Head:
        """Read the head of a request, of which ``held`` is there already."""
        limits = self._options.url_length_limit, self._options.max_header_line
        if b'\r\n\r\n' in held:  # the whole of it: nobody is waited for
            return heads.read(self.rfile, *limits)
        with _deadline(self._options.client_socket_timeout_seconds):
            return heads.read(self.rfile, *limits)

    def _answer_request(self, head: heads.Head) -> int:
        length = heads.body_length(head)
        environ = {**self._environ, **heads.environ(head)}
        connection = head.tokens('connection')
        keep = self._options.keepalive and (
            'close' not in connection if head.version == 'HTTP/1.1' else 'keep-alive' in connection
        )
        expects = head.version == 'HTTP/1.1' and '100-continue' in head.tokens('expect')
        large = length is None or length > SMALL_BODY_BYTES
        media_type = environ['CONTENT_TYPE'].partition(';')[0].strip().lower()
        if large or (length and (expects or media_type == OCTET_STREAM)):
            answer, keep = self._call_with_body(environ, length, expects, keep)
        else:
            environ['wsgi.input'] = io.BytesIO(self._read_small_body(length or 0))
            bridge = self._server.bridge
            answer = bridge.run(
                bridge.requests, answers.call_application, self._server.application, environ
            )
        if answer.park:
            bridge = self._server.bridge
            bridge.park(answer.park)
            answer = bridge.run(bridge.requests, answers.finish, answer)
        self._send(answer, keep)
        if not self.close_connection and self._unread_bytes:
            self._drain(self._unread_bytes)
        return answer.code

    def _read_small_body(self, length: int) -> bytes:
        if not length:
            return b''
        try:
            with _deadline(self._options.body_idle_timeout_seconds):
                body = self.rfile.read(length)
        except TimeoutError:
            raise heads.refuse(
                '408 Request Timeout', 'The body of the request did not come in time.'
            ) from None
        if len(body) < length:
            raise EOFError('the client left before the body was complete')
        return body

    def _call_with_body(
        self, environ: dict[str, Any], length: int | None, expects: bool, keep: bool
    ) -> tuple[answers.Answer, bool]:
        """Have a thread of its own read the body; return the answer and whether to go on."""
        bridge = self._server.bridge
        if not bridge.take_body_place():
            raise heads.refuse(
                '503 Service Unavailable',
                'The service is receiving as many uploads as it can; try again soon.',
                ('Retry-After', str(self._options.retry_after_seconds)),
            )
        duplicate = self.connection.fd.dup()
        try:
            source = bodies.BodySource(
                duplicate,
                self._take_buffered(length),
                self._options.body_idle_timeout_seconds,
                expects,
            )
            body = bodies.open_body(source, length)
            environ['wsgi.input'] = io.BufferedReader(body, bodies.READ_AHEAD_BYTES)
            answer = bridge.run(
                bridge.bodies, answers.call_application, self._server.application, environ
            )
        finally:
            duplicate.close()
            bridge.free_body_place()
        if not body.reusable:
            self._unread_bytes = body.on_wire_bytes
            small = self._unread_bytes is not None and self._unread_bytes <= DRAIN_LIMIT_BYTES
            keep = keep and small and not source.awaits_continue
        return answer, keep

    def _take_buffered(self, length: int | None) -> bytes:
        """Take what the reader of the head holds of the body, without waiting for more."""
        self.connection.settimeout(0)
        try:
            held = len(self.rfile.peek(1))
        except OSError:
            held = 0
        finally:
            self.connection.settimeout(self._options.body_idle_timeout_seconds or None)
        return self.rfile.read(held if length is None else min(held, length)) if held else b''

    def _send(self, answer: answers.Answer, keep: bool) -> None:
        """Send an answer, and close its iterable whatever happens."""
        bridge = self._server.bridge
        try:
            framing = answers.frame(
                answer,
                self.method,
                self.version,
                keep and not self._server.stopping and not self._server.crowded,
                _date(int(time.time())),
            )
            if not framing.has_body:
                self._write(framing.head)
            elif answer.extent:
                self._write(framing.head)
                self._send_file(*answer.extent[:2], framing.length_bytes or 0)
            elif answer.stream is not None:
                self._send_stream(framing, answer)
            else:
                body = answer.body[: framing.length_bytes]
                self._write(framing.head + body)
                self._expect_complete(len(body), framing.length_bytes)
            self.close_connection = not framing.keep_alive
        finally:
            if answer.close:
                bridge.run(bridge.downloads, answers.close_quietly, answer.close)

    def _write(self, data: bytes) -> None:
        self.connection.sendall(memoryview(data))
        self.sent_bytes += len(data)

    def _send_file(self, descriptor: int, offset: int, length: int) -> None:
        bridge = self._server.bridge
        end = offset + length
        duplicate = self.connection.fd.dup()
        try:
            while offset < end:
                sent, at_end = bridge.run(
                    bridge.downloads,
                    answers.send_slice,
                    duplicate.fileno(),
                    descriptor,
                    offset,
                    end - offset,
                )
                offset += sent
                self.sent_bytes += sent
                if at_end:
                    break
                if offset < end:
                    hubs.trampoline(
                        self.connection.fd,
                        write=True,
                        timeout=self._options.body_idle_timeout_seconds or None,
                        timeout_exc=TimeoutError('the client stopped reading'),
                    )
        finally:
            duplicate.close()
        self._expect_complete(length - (end - offset), length)

    def _send_stream(self, framing: answers.Framing, answer: answers.Answer) -> None:
        bridge = self._server.bridge
        self._write(framing.head)
        left = framing.length_bytes
        part: bytes | None = answer.body
        while part is not None:
            if framing.chunked and part:
                self._write(b'%x\r\n%b\r\n' % (len(part), part))
            elif part:
                self._write(part[:left])
                left = None if left is None else max(0, left - len(part))
            part = bridge.run(bridge.downloads, answers.next_part, answer.stream)
        if framing.chunked:
            self._write(b'0\r\n\r\n')
        self._expect_complete(0, left)

    def _expect_complete(self, sent: int, length: int | None) -> None:
        if length is not None and sent < length:
            LOG.warning(
                'The answer to %s %s is shorter than its Content-Length by %d bytes',
                self.method,
                self.path.partition('?')[0],
                length - sent,
            )
            raise EOFError('the application answered less than its Content-Length')

    def _drain(self, count: int) -> None:
        """Discard the small rest of a body that the application did not want."""
        with _deadline(self._options.body_idle_timeout_seconds):
            while count:
                dropped = len(self.rfile.read1(min(count, SMALL_BODY_BYTES)))
                if not dropped:
                    raise EOFError('the client left before the body was complete')
                count -= dropped

    def _linger(self) -> None:
        """Discard what the client still sends, so that a reset does not eat the answer.

        RFC 9112 section 9.6; for a short while only, whatever the client does.
        """
        self._shutdown(socket.SHUT_WR)
        try:
            with _deadline(LINGER_SECONDS):
                scratch = bytearray(SMALL_BODY_BYTES)
                while self.connection.recv_into(scratch):
                    eventlet.sleep(0)
        except OSError:
            pass


def _deadline(seconds: float) -> eventlet.Timeout:
    return eventlet.Timeout(seconds or None, TimeoutError('the client is too slow'))


def _host_and_port(address: Any) -> tuple[str, str]:
    """Return both as the environment of PEP 3333 has them."""
    return (address[0], str(address[1])) if isinstance(address, tuple) else ('unix', '')


@functools.lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    """Return a time since 1970 as RFC 9110 section 5.6.7 writes it."""
    return email.utils.formatdate(seconds, usegmt=True)
