# SPDX-License-Identifier: Apache-2.0
"""The HTTP server over loopback sockets, with tiny WSGI applications."""

import contextlib
import hashlib
import http.client
import io
import logging
import os
import socket
import threading
import time

import pytest

from glance_lite.server import (
    AccessRecord,
    BodyDisconnected,
    BodyTimeout,
    MalformedBody,
    Server,
    ServerOptions,
    open_listener,
)

MIB = 1 << 20
PATIENCE_SECONDS = 10


class Client:
    """A client that sends exactly what a test says and parses the answers strictly."""

    def __init__(self, address):
        self.sock = socket.create_connection(address, timeout=PATIENCE_SECONDS)
        self.reader = self.sock.makefile('rb')

    def send(self, text, body=b''):
        head = text.replace('\n', '\r\n').encode('latin-1')
        self.sock.sendall(head + body)
        return self

    def line(self):
        return self.reader.readline()

    def answer(self, method='GET'):
        """Read one answer, leaving the connection where the next one begins."""
        status_line = self.reader.readline()
        assert status_line.startswith(b'HTTP/1.1 '), status_line
        headers = http.client.parse_headers(self.reader)
        status = int(status_line.split()[1])
        if method == 'HEAD' or status in (204, 304):
            body = b''
        elif headers['transfer-encoding'] == 'chunked':
            body = b''
            while size := int(self.reader.readline(), 16):
                body += self.reader.read(size)
                assert self.reader.readline() == b'\r\n'
            assert self.reader.readline() == b'\r\n'
        elif headers['content-length'] is not None:
            body = self.reader.read(int(headers['content-length']))
        else:
            body = self.reader.read()
        return status, headers, body

    def get(self, path='/', headers=''):
        return self.send(f'GET {path} HTTP/1.1\nHost: x\n{headers}\n').answer()

    def at_end(self):
        """Tell whether the server has closed the connection."""
        try:
            return self.reader.read(1) == b''
        except ConnectionError:
            return True

    def close(self):
        self.reader.close()
        self.sock.close()


@pytest.fixture
def serve():
    """Start servers in threads of their own; returns a function app, options → client factory."""
    with contextlib.ExitStack() as stack:

        def start(app, **options):
            listener = open_listener('127.0.0.1', 0)
            address = listener.getsockname()
            options.setdefault('graceful_shutdown_timeout_seconds', 2)
            server = Server(app, listener, ServerOptions(**options))
            thread = threading.Thread(target=server.serve, daemon=True)
            thread.start()
            stack.callback(thread.join, PATIENCE_SECONDS)
            stack.callback(server.stop)

            def connect():
                client = Client(address)
                stack.callback(client.close)
                return client

            connect.server, connect.thread, connect.address = server, thread, address
            return connect

        yield start


def plain(text):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [text]

    return app


def digest(environ, start_response):
    """Answer the size and the hash of the body, read into one buffer."""
    buffer, size, md5 = memoryview(bytearray(MIB)), 0, hashlib.md5()
    while count := environ['wsgi.input'].readinto(buffer):
        size += count
        md5.update(buffer[:count])
    start_response('200 OK', [])
    return [f'{size} {md5.hexdigest()}'.encode()]


def digest_of(data):
    return f'{len(data)} {hashlib.md5(data).hexdigest()}'.encode()


def chunked(*parts):
    return b''.join(b'%x\r\n%b\r\n' % (len(part), part) for part in (*parts, b''))


PUT = 'PUT / HTTP/1.1\nHost: x\nContent-Type: application/octet-stream\n'


# -- answers ---------------------------------------------------------------------------------


def test_list_answer_has_length_and_date_and_no_banner(serve):
    client = serve(plain(b'hello'))()
    status, headers, body = client.get()
    assert (status, body, headers['content-length']) == (200, b'hello', '5')
    assert headers['date'].endswith('GMT')
    assert headers['server'] is None
    assert client.get()[2] == b'hello'


def test_environ_is_what_the_client_sent(serve):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response('204 No Content', [])
        return []

    client = serve(app)()
    client.send('PURGE http://x/a%20b?c=d HTTP/1.1\nHost: x\nX-Auth-Token: t\nX_Auth_Token: u\n\n')
    assert client.answer()[0] == 204
    assert seen['REQUEST_METHOD'] == 'PURGE'
    assert seen['PATH_INFO'] == '/a b'
    assert seen['QUERY_STRING'] == 'c=d'
    assert seen['HTTP_X_AUTH_TOKEN'] == 't'
    assert seen['CONTENT_TYPE'] == ''
    assert seen['SERVER_PROTOCOL'] == 'HTTP/1.1'
    assert seen['wsgi.input'].read() == b''
    assert not any(name.startswith('eventlet') for name in seen)


@pytest.mark.parametrize(
    'target, path, query', [('//host/a?b', '/host/a', 'b'), ('*', '*', ''), ('/%C3%A4?', '/Ã¤', '')]
)
def test_targets(serve, target, path, query):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response('204 No Content', [])
        return []

    client = serve(app)().send(f'GET {target} HTTP/1.1\nHost: x\nA: 1\nB: x\na: 2 \n\n')
    assert client.answer()[0] == 204
    assert (seen['PATH_INFO'], seen['QUERY_STRING'], seen['HTTP_A']) == (path, query, '1,2')


def test_application_runs_in_native_threads_side_by_side(serve):
    barrier = threading.Barrier(4, timeout=PATIENCE_SECONDS)

    def app(environ, start_response):
        barrier.wait()
        start_response('200 OK', [])
        return [threading.current_thread().name.encode()]

    connect = serve(app)
    clients = [connect().send('GET / HTTP/1.1\nHost: x\n\n') for _ in range(4)]
    assert len({client.answer()[2] for client in clients}) == 4


def test_pipelined_requests_are_answered_in_order(serve):
    def app(environ, start_response):
        start_response('200 OK', [])
        return [environ['PATH_INFO'].encode() + environ['wsgi.input'].read()]

    client = serve(app)()
    client.send(
        'GET /1 HTTP/1.1\nHost: x\n\nPUT /2 HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc'
        'PUT /3 HTTP/1.1\nHost: x\nContent-Type: application/octet-stream\nContent-Length: 2\n\nde'
        'GET /4 HTTP/1.1\nHost: x\n\n'
    )
    assert [client.answer()[2] for _ in range(4)] == [b'/1', b'/2abc', b'/3de', b'/4']


@pytest.mark.parametrize('size', [5, 3 * MIB])
def test_head_has_headers_only(serve, size):
    closed = threading.Event()

    class Body:
        def __iter__(self):
            yield b'x' * size

        def close(self):
            closed.set()

    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', str(size))])
        return Body()

    client = serve(app)()
    status, headers, _ = client.send('HEAD / HTTP/1.1\nHost: x\n\n').answer('HEAD')
    assert (status, headers['content-length']) == (200, str(size))
    assert closed.wait(PATIENCE_SECONDS)
    assert len(client.get()[2]) == size


@pytest.mark.parametrize('status', ['204 No Content', '304 Not Modified'])
def test_bodiless_status_keeps_the_connection_in_step(serve, status):
    def app(environ, start_response):
        start_response(status, [])
        return [b'never sent']

    client = serve(app)()
    assert client.get()[0] == int(status[:3])
    assert client.get()[0] == int(status[:3])


def test_generator_without_length_is_chunked(serve):
    def app(environ, start_response):
        start_response('200 OK', [])
        yield b''
        yield b'one '
        yield b'two'

    client = serve(app)()
    status, headers, body = client.get()
    assert (status, headers['transfer-encoding'], body) == (200, 'chunked', b'one two')
    assert client.get()[2] == b'one two'


def test_http_1_0_gets_no_chunks_and_keeps_alive_only_on_demand(serve):
    def app(environ, start_response):
        start_response('200 OK', [])
        yield b'x' * 100_000

    connect = serve(app)
    client = connect()
    _, headers, body = client.send('GET / HTTP/1.0\n\n').answer()
    assert (headers['transfer-encoding'], len(body)) == (None, 100_000)
    client = serve(plain(b'ok'))()
    client.send('GET / HTTP/1.0\nConnection: keep-alive\n\n')
    assert client.answer()[1]['connection'] == 'keep-alive'
    assert client.send('GET / HTTP/1.0\n\n').answer()[1]['connection'] == 'close'
    assert client.at_end()


def test_connection_close_is_obeyed(serve):
    client = serve(plain(b'ok'))()
    assert client.get(headers='Connection: close\n')[1]['connection'] == 'close'
    assert client.at_end()


def test_failure_before_the_answer_is_a_plain_500(serve, caplog):
    def app(environ, start_response):
        start_response('200 OK', [])
        raise RuntimeError('a secret')

    with caplog.at_level(logging.ERROR):
        status, headers, body = serve(app)().get('/v2?token=abc')
    assert (status, headers['connection']) == (500, 'close')
    assert b'secret' not in body and b'Traceback' not in body
    assert 'a secret' in caplog.text and 'abc' not in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    'headers', [[('A', 'b\r\nSet-Cookie: c')], [('A b', 'c')], [('Content-Length', 'ten')]]
)
def test_malformed_answer_headers_become_a_500(serve, headers):
    def app(environ, start_response):
        start_response('200 OK', headers)
        return [b'']

    assert serve(app)().get()[0] == 500


def test_answer_shorter_than_its_length_ends_the_connection(serve):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', '100000')])
        yield b'x' * 10

    client = serve(app)()
    assert len(client.get()[2]) == 10
    assert client.at_end()


def test_failure_in_the_middle_is_seen_by_the_client(serve, caplog):
    def app(environ, start_response):
        start_response('200 OK', [])
        yield b'x'
        raise RuntimeError('broken')

    client = serve(app)()
    client.send('GET / HTTP/1.1\nHost: x\n\n')
    assert client.reader.read().endswith(b'1\r\nx\r\n')
    assert 'in the middle of an answer' in caplog.text


# -- files -----------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image'
    path.write_bytes(os.urandom(3 * MIB + 17))
    return path


def files(path, wrap=lambda file: file, declare=None):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', str(declare))] if declare else [])
        return environ['wsgi.file_wrapper'](wrap(open(path, 'rb')), 65536)

    return app


def test_file_is_sent_and_the_connection_survives(serve, image):
    client = serve(files(image))()
    for _ in range(2):
        status, headers, body = client.get()
        assert (status, headers['content-length']) == (200, str(3 * MIB + 17))
        assert body == image.read_bytes()


class Part:
    """A part of a file, as a store may hand it over."""

    def __init__(self, file, offset, length, real=True):
        self._file, self.offset, self.length = file, offset, length
        self.read, self.seek, self.close = file.read, file.seek, file.close
        if real:
            self.fileno = file.fileno


@pytest.mark.parametrize('real', [True, False], ids=['sendfile', 'read'])
@pytest.mark.parametrize('offset, length', [(0, 10), (5, 2 * MIB), (MIB, 2 * MIB + 17), (7, 0)])
def test_part_of_a_file(serve, image, offset, length, real):
    client = serve(files(image, lambda file: Part(file, offset, length, real)))()
    for _ in range(2):
        assert client.get()[2] == image.read_bytes()[offset : offset + length]


def test_file_wrapper_falls_back_to_reading(serve):
    data = os.urandom(200_000)

    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', '200000')])
        return environ['wsgi.file_wrapper'](io.BytesIO(data), 4096)

    assert serve(app)().get()[2] == data


def test_truncated_file_ends_the_connection(serve, image):
    client = serve(files(image, declare=4 * MIB))()
    assert len(client.get()[2]) == 3 * MIB + 17
    assert client.at_end()


def test_stalled_download_is_ended_and_holds_no_thread(serve, tmp_path):
    big = tmp_path / 'big'
    with open(big, 'wb') as file:
        file.truncate(64 * MIB)
    closed = threading.Event()

    class Closing(io.FileIO):
        def close(self):
            super().close()
            closed.set()

    def app(environ, start_response):
        start_response('200 OK', [])
        if environ['PATH_INFO'] == '/big':
            return environ['wsgi.file_wrapper'](Closing(big))
        return environ['wsgi.file_wrapper'](io.BytesIO(b'small'))

    connect = serve(app, download_threads=1, body_idle_timeout_seconds=0.15)
    stalled = connect().send('GET /big HTTP/1.1\nHost: x\n\n')
    assert stalled.line() == b'HTTP/1.1 200 OK\r\n'
    assert connect().get()[2] == b'small'
    assert closed.wait(PATIENCE_SECONDS)


# -- bodies ----------------------------------------------------------------------------------


def test_upload_with_length_then_keep_alive(serve):
    data = os.urandom(3 * MIB + 5)
    client = serve(digest)()
    for _ in range(2):
        client.send(f'{PUT}Content-Length: {len(data)}\n\n', data)
        assert client.answer()[2] == digest_of(data)


def test_chunked_upload_then_keep_alive(serve):
    parts = [os.urandom(size) for size in (1, 100_000, 65_536, 7)]
    client = serve(digest)()
    for _ in range(2):
        client.send(f'{PUT}Transfer-Encoding: chunked\n\n', chunked(*parts))
        assert client.answer()[2] == digest_of(b''.join(parts))


def test_chunk_extensions_and_trailers_are_dropped(serve):
    client = serve(digest)()
    client.send(
        f'{PUT}Transfer-Encoding: Chunked\n\n', b'3;a="b"\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n'
    )
    assert client.answer()[2] == digest_of(b'abc')
    client.send(f'{PUT}Transfer-Encoding: chunked\n\n', chunked(b'd'))
    assert client.answer()[2] == digest_of(b'd')


def test_request_behind_a_chunked_body_is_not_taken_for_data(serve):
    client = serve(digest)()
    client.send(f'{PUT}Transfer-Encoding: chunked\n\n', chunked(b'abc') + b'GET / HTTP/1.1\r\n\r\n')
    _, headers, body = client.answer()
    assert (body, headers['connection']) == (digest_of(b'abc'), 'close')
    assert client.at_end()


@pytest.mark.parametrize(
    'body',
    [
        b'g\r\n',
        b'-1\r\n',
        b'\r\n',
        b'+3\r\nabc\r\n',
        b'11111111111111111\r\n',
        b'3\nabc\r\n',
        b'3\r\nabcd\r\n',
        b'3;' + b'x' * 5000,
        b'0\r\n' + b'X: ' + b'y' * 5000,
        b'0\r\n' + b'X: yyyyyyyyyyyyy\r\n' * 2000,
    ],
)
def test_malformed_chunks(serve, body):
    errors = []

    def app(environ, start_response):
        try:
            environ['wsgi.input'].read()
        except ValueError as error:
            errors.append(error)
            raise

    client = serve(app)().send(f'{PUT}Transfer-Encoding: chunked\n\n', body)
    status, headers, _ = client.answer()
    assert (status, headers['connection']) == (400, 'close')
    assert isinstance(errors[0], MalformedBody)


@pytest.mark.parametrize('coding', ['Content-Length: 100000', 'Transfer-Encoding: chunked'])
def test_input_reads_like_a_file(serve, coding):
    data = b'first line\nsecond\n' + b'x' * 90_000 + b'\nlast'

    def app(environ, start_response):
        body = environ['wsgi.input']
        result = [body.readline(), body.read(3), body.readline(4), *body.readlines()]
        start_response('200 OK', [])
        assert body.read() == body.read(5) == body.readline() == b''
        assert list(body) == []
        return [repr([len(part) for part in result]).encode(), b''.join(result)]

    client = serve(app)()
    if 'chunked' in coding:
        client.send(f'{PUT}{coding}\n\n', chunked(data[:5], data[5:50_000], data[50_000:]))
    else:
        client.send(f'{PUT}Content-Length: {len(data)}\n\n', data)
    body = client.answer()[2]
    assert body == b'[11, 3, 4, 90001, 4]' + data


def test_disconnect_in_the_middle_is_an_error_not_an_end(serve):
    errors, seen = [], threading.Event()

    def app(environ, start_response):
        try:
            environ['wsgi.input'].read()
        except OSError as error:
            errors.append(error)
            seen.set()
            raise

    for coding, sent in (('Content-Length: 100000', b'abc'), ('Transfer-Encoding: chunked', b'9')):
        seen.clear()
        serve(app)().send(f'{PUT}{coding}\n\n', sent).close()
        assert seen.wait(PATIENCE_SECONDS)
        assert isinstance(errors.pop(), BodyDisconnected)


def test_silent_sender_is_timed_out(serve):
    errors = []

    def app(environ, start_response):
        try:
            environ['wsgi.input'].read()
        except TimeoutError as error:
            errors.append(error)
            raise

    client = serve(app, body_idle_timeout_seconds=0.1)()
    assert client.send(f'{PUT}Content-Length: 100000\n\nabc').answer()[0] == 408
    assert isinstance(errors[0], BodyTimeout)


@pytest.mark.parametrize('path', ['/read', '/ignore'])
def test_small_rest_of_a_body_is_discarded(serve, path):
    def app(environ, start_response):
        environ['wsgi.input'].read(10 if environ['PATH_INFO'] == '/read' else 0)
        start_response('409 Conflict', [])
        return [b'no']

    client = serve(app)()
    head = f'PUT {path} HTTP/1.1\nHost: x\nContent-Length: 200000\n\n'
    client.send(head, b'x' * 5)
    client.sock.sendall(b'x' * 199_995)
    assert client.answer()[0] == 409
    assert client.get('/ignore')[0] == 409


def test_large_rest_of_a_body_closes_but_the_answer_arrives(serve):
    def app(environ, start_response):
        start_response('413 Content Too Large', [])
        return [b'no']

    client = serve(app)()
    client.send(f'{PUT}Content-Length: {8 * MIB}\n\n', b'x' * 4 * MIB)
    status, headers, _ = client.answer()
    assert (status, headers['connection']) == (413, 'close')


def test_continue_is_sent_when_the_application_first_reads(serve):
    may_read = threading.Event()

    def app(environ, start_response):
        assert may_read.wait(PATIENCE_SECONDS)
        return digest(environ, start_response)

    client = serve(app)()
    client.send(f'{PUT}Expect: 100-continue\nContent-Length: 3\n\n')
    client.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.sock.recv(1, socket.MSG_PEEK)
    client.sock.settimeout(PATIENCE_SECONDS)
    may_read.set()
    assert client.line() == b'HTTP/1.1 100 Continue\r\n'
    assert client.line() == b'\r\n'
    assert client.send('abc').answer()[2] == digest_of(b'abc')
    assert client.get()[0] == 200


def test_early_answer_sends_no_continue_and_closes(serve):
    client = serve(plain(b'no'))()
    client.send(f'{PUT}Expect: 100-continue\nContent-Length: 3\n\n')
    status, headers, _ = client.answer()
    assert (status, headers['connection']) == (200, 'close')
    assert client.at_end()


def test_bodies_beyond_the_pool_are_refused_unread(serve):
    reading, go_on = threading.Event(), threading.Event()

    def app(environ, start_response):
        if environ['PATH_INFO'] == '/':
            reading.set()
            assert go_on.wait(PATIENCE_SECONDS)
            environ['wsgi.input'].read()
        start_response('200 OK', [])
        return [b'ok']

    connect = serve(app, body_threads=1, retry_after_seconds=7)
    first = connect().send(f'{PUT}Content-Length: 3\n\n')
    assert reading.wait(PATIENCE_SECONDS)
    status, headers, _ = connect().send(f'{PUT}Content-Length: 100000\n\n').answer()
    assert (status, headers['retry-after'], headers['connection']) == (503, '7', 'close')
    assert connect().get('/other')[0] == 200
    go_on.set()
    assert first.send('abc').answer()[0] == 200
    assert connect().send(f'{PUT}Content-Length: 3\n\nabc').answer()[0] == 200


def test_slow_json_senders_hold_no_request_thread(serve):
    def app(environ, start_response):
        start_response('200 OK', [])
        return [environ['wsgi.input'].read()]

    connect = serve(app, request_threads=1)
    head = 'POST / HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 2\n\n'
    slow = [connect().send(head + '{') for _ in range(5)]
    assert connect().get()[0] == 200
    assert [client.send('}').answer()[2] for client in slow] == [b'{}'] * 5


def test_slow_json_sender_is_timed_out(serve):
    client = serve(plain(b'ok'), body_idle_timeout_seconds=0.1)()
    assert client.send('POST / HTTP/1.1\nHost: x\nContent-Length: 2\n\n{').answer()[0] == 408
    assert client.at_end()


# -- request heads ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    'request_head, status',
    [
        ('nonsense\n\n', 400),
        ('GET /\n\n', 400),
        ('GET  / HTTP/1.1\nHost: x\n\n', 400),
        ('GET / HTTP/2.0\nHost: x\n\n', 400),
        ('GET x HTTP/1.1\nHost: x\n\n', 400),
        ('GET / HTTP/1.1\n\n', 400),
        ('GET / HTTP/1.1\nHost: x\nHost: y\n\n', 400),
        ('GET / HTTP/1.1\nHost: x\nno colon\n\n', 400),
        ('GET / HTTP/1.1\nHost: x\nA : b\n\n', 400),
        ('GET / HTTP/1.1\nHost: x\nA: b\n folded\n\n', 400),
        ('GET / HTTP/1.1\nHost: x\nA: b\rContent-Length: 3\n\n', 400),
        ('PUT / HTTP/1.1\nHost: x\nContent-Length: 3\nTransfer-Encoding: chunked\n\n', 400),
        ('PUT / HTTP/1.1\nHost: x\nContent-Length: 3\nContent-Length: 4\n\n', 400),
        ('PUT / HTTP/1.1\nHost: x\nContent-Length: +3\n\n', 400),
        ('PUT / HTTP/1.1\nHost: x\nContent-Length: -3\n\n', 400),
        ('PUT / HTTP/1.1\nHost: x\nContent-Length: 1_0\n\n', 400),
        ('PUT / HTTP/1.1\nHost: x\nTransfer-Encoding: gzip, chunked\n\n', 501),
        ('PUT / HTTP/1.1\nHost: x\nTransfer-Encoding: xchunked\n\n', 501),
        ('PUT / HTTP/1.0\nTransfer-Encoding: chunked\n\n', 400),
        (f'GET /{"x" * 9000} HTTP/1.1\nHost: x\n\n', 414),
        (f'GET / HTTP/1.1\nHost: x\nA: {"x" * 17000}\n\n', 431),
        ('GET / HTTP/1.1\nHost: x\n' + 'A: b\n' * 200 + '\n', 431),
        ('GET / HTTP/1.1\nHost: x\n' + f'A: {"x" * 15000}\n' * 10 + '\n', 431),
    ],
)
def test_bad_heads_are_refused(serve, request_head, status):
    def app(environ, start_response):
        raise AssertionError('the application must not see this')

    client = serve(app)().send(request_head)
    got, headers, _ = client.answer()
    assert (got, headers['connection'], headers['server']) == (status, 'close', None)
    assert client.at_end()


def test_long_header_within_the_limit_passes(serve):
    assert serve(plain(b'ok'))().get(headers=f'X-Auth-Token: {"t" * 16000}\n')[0] == 200


def test_slow_head_is_ended(serve):
    client = serve(plain(b'ok'), client_socket_timeout_seconds=0.1)()
    assert client.send('GET / HTTP/1.1\nHo').at_end()


def test_no_timeouts_means_waiting(serve):
    client = serve(digest, client_socket_timeout_seconds=0, body_idle_timeout_seconds=0)()
    client.send(f'{PUT}Content-Length: 3\n\n')
    time.sleep(0.02)
    assert client.send('abc').answer()[2] == digest_of(b'abc')
    client.send('POST / HTTP/1.1\nHost: x\nContent-Length: 2\n\n{')
    time.sleep(0.02)
    assert client.send('}').answer()[2] == digest_of(b'{}')


def test_access_log_gets_one_record_for_each_request(serve):
    records = []
    connect = serve(plain(b'ok'), access_log=records.append)
    client = connect()
    client.get('/a?b=c')
    client.send('bad\n\n').answer()
    client.close()
    connect.server.stop()
    connect.thread.join(PATIENCE_SECONDS)
    first, second = records
    assert isinstance(first, AccessRecord)
    assert (first.client, first.method, first.path, first.status) == (
        '127.0.0.1',
        'GET',
        '/a?b=c',
        200,
    )
    assert first.sent_bytes > 2 and 0 <= first.seconds < PATIENCE_SECONDS
    assert second.status == 400


# -- connections and the stop ----------------------------------------------------------------


def test_idle_connection_makes_room_for_a_new_one(serve):
    connect = serve(plain(b'ok'), max_connections=2)
    clients = [connect() for _ in range(6)]
    assert [client.get()[0] for client in clients[-1:]] == [200]


def test_stop_closes_idle_connections_and_finishes_running_requests(serve):
    running, go_on = threading.Event(), threading.Event()

    def app(environ, start_response):
        if environ['PATH_INFO'] == '/slow':
            running.set()
            assert go_on.wait(PATIENCE_SECONDS)
        start_response('200 OK', [])
        return [b'done']

    connect = serve(app)
    idle, busy = connect(), connect()
    idle.get()
    busy.send('GET /slow HTTP/1.1\nHost: x\n\n')
    assert running.wait(PATIENCE_SECONDS)
    connect.server.stop()
    assert idle.at_end()
    with pytest.raises(OSError):
        socket.create_connection(connect.address, timeout=1)
    go_on.set()
    _, headers, body = busy.answer()
    assert (body, headers['connection']) == (b'done', 'close')
    connect.thread.join(PATIENCE_SECONDS)
    assert not connect.thread.is_alive()


class Parked:
    """An application whose answers wait until somebody opens the gate."""

    def __init__(self):
        self.wakers = []
        self.came = threading.Semaphore(0)

    def __call__(self, environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [b'at once'] if environ['PATH_INFO'] == '/now' else Body(self)

    def wait_for(self, count):
        for _ in range(count):
            assert self.came.acquire(timeout=PATIENCE_SECONDS)


class Body:
    def __init__(self, app):
        self.app = app

    def park(self, wake):
        self.app.wakers.append(wake)
        self.app.came.release()

    def __iter__(self):
        yield b'later'


def test_a_parked_answer_holds_no_thread(serve):
    app = Parked()
    connect = serve(app, request_threads=1)
    waiting = [connect().send('GET /later HTTP/1.1\nHost: x\n\n') for _ in range(40)]
    app.wait_for(40)
    assert connect().get('/now')[2] == b'at once'
    app.wakers[7]()
    status, headers, body = waiting[7].answer()
    assert (status, headers['content-length'], body) == (200, '5', b'later')
    for wake in app.wakers:  # twice for one of them, which does no harm
        wake()
    del waiting[7]
    assert all(client.answer()[2] == b'later' for client in waiting)
    assert waiting[0].get('/now')[2] == b'at once'


def test_stop_finishes_parked_answers_at_once(serve):
    app = Parked()
    connect = serve(app, graceful_shutdown_timeout_seconds=PATIENCE_SECONDS * 6)
    client = connect().send('GET /later HTTP/1.1\nHost: x\n\n')
    app.wait_for(1)
    connect.server.stop()
    assert client.answer()[2] == b'later'
    connect.thread.join(PATIENCE_SECONDS)
    assert not connect.thread.is_alive()
    app.wakers[0]()  # too late, and nobody minds


def test_stop_cuts_what_outlives_the_graceful_timeout(serve):
    connect = serve(digest, graceful_shutdown_timeout_seconds=0.05)
    client = connect().send(f'{PUT}Content-Length: 100000\n\nabc')
    connect().get()
    began = time.monotonic()
    connect.server.stop()
    connect.thread.join(PATIENCE_SECONDS)
    assert client.at_end()
    assert time.monotonic() - began < 2


def test_stop_by_descriptor():
    listener = open_listener('127.0.0.1', 0)
    server = Server(plain(b'ok'), listener)
    read, write = os.pipe()
    with open(read) as reader:
        thread = threading.Thread(target=server.serve, args=(reader,))
        thread.start()
        os.close(write)
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
