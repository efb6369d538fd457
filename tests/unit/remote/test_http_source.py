# SPDX-License-Identifier: Apache-2.0
"""What comes out of a source: the whole, or an error with the right code, whatever happens."""

import hashlib
import threading
import time

import pytest

from glance_lite import exceptions
from glance_lite.remote import HttpSource

BODY = bytes(range(256)) * 1024
PLAIN = {'user-agent', 'accept', 'accept-encoding', 'host'}
ETAG = 'ETag: "v1"'


def read_all(http_source):
    with http_source:
        return b''.join(http_source.read_chunks(10_000))


def failure(http_source):
    with pytest.raises(exceptions.ImportFailed) as caught:
        read_all(http_source)
    http_source.close()
    return caught.value


def partial(ok, start, *headers, body=BODY, total=None):
    """Answer 206 with the rest of ``body`` from ``start``."""
    total = len(body) if total is None else total
    content_range = f'Content-Range: bytes {start}-{len(body) - 1}/{total}'
    return ok(body[start:], content_range, *headers, status='206 Partial Content')


def test_the_whole_body_and_what_is_known_of_it(source, fetch, ok):
    server = source(ok(BODY, ETAG, 'Last-Modified: Tue, 01 Oct 2024 10:00:00 GMT'))
    with fetch(server.url('/disk.raw?sig=secret')) as opened:
        assert opened.content_length == len(BODY)
        assert opened.etag == '"v1"'
        assert opened.last_modified == 'Tue, 01 Oct 2024 10:00:00 GMT'
        assert opened.final_url == server.url('/disk.raw?sig=***')
        buffer, digest = bytearray(100_000), hashlib.sha256()
        while count := opened.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
        assert opened.readinto(buffer) == 0
        assert opened.bytes_read == len(BODY)
    assert digest.digest() == hashlib.sha256(BODY).digest()
    asked = server.requests[0]
    assert (asked.method, asked.target) == ('GET', '/disk.raw?sig=secret')
    assert asked.headers['host'] == f'source.test:{server.port}'
    assert asked.headers['accept-encoding'] == 'identity'
    assert asked.headers['user-agent'].startswith('glance_lite/')
    assert set(asked.headers) == PLAIN


def test_an_empty_source_is_whole(source, fetch, ok):
    assert read_all(fetch(source(ok(b'')).url())) == b''


def test_a_chunked_body_without_length(source, fetch):
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    server = source(head + b'5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n')
    with fetch(server.url()) as opened:
        assert opened.content_length is None
        assert b''.join(opened.read_chunks()) == b'hello world'


@pytest.mark.parametrize(
    'rest', [b'5\r\nhel', b'5\r\nhello\r\n', b'', b'zz\r\n', b'5\r\nhello\r\n-1\r\n']
)
def test_a_chunked_body_that_is_cut_is_truncated(source, fetch, rest):
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    error = failure(fetch(source(head + rest).url()))
    assert (error.code, error.retryable) == ('source_truncated', True)


def test_a_body_that_ends_with_the_connection_is_refused_unless_permitted(source, fetch):
    server = source(b'HTTP/1.0 200 OK\r\n\r\nhello')
    error = failure(fetch(server.url()))
    assert error.code == 'source_http_error'
    assert '[web_download] require_framing' in error.message
    assert read_all(fetch(server.url(), require_framing=False)) == b'hello'


def test_a_short_body_is_truncated_after_the_retries(source, fetch, ok):
    server = source(ok(b'hello', length=10))
    error = failure(fetch(server.url()))
    assert (error.code, error.retryable) == ('source_truncated', True)
    assert error.message == f'The source {server.url()} sent less than it announced.'
    # Bytes were handed out and there is no validator: no second attempt could be trusted.
    assert len(server.requests) == 1


def test_a_body_cut_before_its_first_byte_is_asked_for_again(source, fetch, ok):
    server = source(ok(b'', length=len(BODY)), ok(BODY))
    assert read_all(fetch(server.url())) == BODY
    assert 'range' not in server.requests[1].headers


def test_more_than_announced_is_not_read(source, fetch, ok):
    assert read_all(fetch(source(ok(b'hello world', length=5)).url())) == b'hello'


def test_resume_by_range_after_a_cut(source, fetch, ok):
    half = len(BODY) // 2

    def rest(request):
        start = int(request.headers['range'].removeprefix('bytes=').rstrip('-'))
        return partial(ok, start, ETAG)

    server = source(ok(BODY[:half], ETAG, length=len(BODY)), rest)
    opened = fetch(server.url())
    assert read_all(opened) == BODY
    assert opened.retries == 1
    assert server.requests[1].headers['range'] == f'bytes={half}-'
    assert server.requests[1].headers['if-range'] == '"v1"'


def test_resume_with_an_old_enough_last_modified(source, fetch, ok):
    dates = ('Last-Modified: Tue, 01 Oct 2024 10:00:00 GMT', 'Date: Tue, 01 Oct 2024 11:00:00 GMT')
    server = source(ok(BODY[:100], *dates, length=len(BODY)), partial(ok, 100, *dates))
    assert read_all(fetch(server.url())) == BODY
    assert server.requests[1].headers['if-range'] == 'Tue, 01 Oct 2024 10:00:00 GMT'


@pytest.mark.parametrize(
    'validators',
    [
        ('ETag: W/"v1"',),
        ('ETag: v1',),
        ('Last-Modified: Tue, 01 Oct 2024 10:00:00 GMT', 'Date: Tue, 01 Oct 2024 10:00:30 GMT'),
        ('Last-Modified: Tue, 01 Oct 2024 10:00:00 GMT',),
        (),
    ],
)
def test_no_resume_without_a_strong_validator(source, fetch, ok, validators):
    server = source(ok(BODY[:100], *validators, length=len(BODY)), partial(ok, 100, *validators))
    assert failure(fetch(server.url())).code == 'source_truncated'
    assert len(server.requests) == 1


def test_a_source_without_ranges_that_vouches_for_the_same_bytes_is_read_again(source, fetch, ok):
    server = source(ok(BODY[:70_000], ETAG, length=len(BODY)), ok(BODY, ETAG))
    assert read_all(fetch(server.url())) == BODY


def test_another_version_is_never_mixed_in(source, fetch, ok):
    other = bytes(len(BODY))
    wrong_start = ok(
        BODY[99:],
        f'Content-Range: bytes 99-{len(BODY) - 1}/{len(BODY)}',
        ETAG,
        status='206 Partial Content',
    )
    short = ok(
        BODY[100:200],
        f'Content-Range: bytes 100-199/{len(BODY)}',
        ETAG,
        status='206 Partial Content',
    )
    for second in (
        ok(other, 'ETag: "v2"'),
        ok(other),
        ok(other[:-1], ETAG),
        partial(ok, 100, 'ETag: "v2"', body=other),
        partial(ok, 100, ETAG, body=BODY + b'x'),
        wrong_start,
        short,
        ok(BODY[100:], ETAG, status='206 Partial Content'),
        ok(b'', 'Content-Range: bytes */50', status='416 Range Not Satisfiable'),
    ):
        server = source(ok(BODY[:100], ETAG, length=len(BODY)), second)
        error = failure(fetch(server.url()))
        assert (error.code, error.retryable) == ('source_changed', True), second[:200]


def test_progress_starts_the_count_of_failures_afresh(source, fetch, ok):
    step = 1024 * 1024
    body = bytes(step * 4)

    def piece(request):
        start = int(request.headers.get('range', 'bytes=0-').removeprefix('bytes=').rstrip('-'))
        head = [ETAG, 'Connection: close']
        status = '200 OK'
        if start:
            head.append(f'Content-Range: bytes {start}-{len(body) - 1}/{len(body)}')
            status = '206 Partial Content'
        return ok(body[start : start + step], *head, status=status, length=len(body) - start)

    assert read_all(fetch(source(piece).url(), retries=1)) == body


def test_too_large_by_announcement_is_known_before_a_byte_is_read(source, fetch, ok):
    error = failure(fetch(source(ok(b'', length=11)).url(), max_bytes=10))
    assert (error.code, error.retryable) == ('too_large', False)
    assert '10 bytes' in error.message


def test_too_large_without_announcement_is_known_at_the_byte_too_many(source, fetch):
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    body = head + b'a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n'
    assert failure(fetch(source(body).url(), max_bytes=10)).code == 'too_large'
    assert read_all(fetch(source(body).url(), max_bytes=11)) == b'0123456789x'


@pytest.mark.parametrize('header', ['Content-Encoding: gzip', 'Content-Encoding: x-gzip, identity'])
def test_encoded_content_is_refused(source, fetch, ok, header):
    error = failure(fetch(source(ok(BODY, header)).url()))
    assert error.code == 'source_http_error'
    assert 'Content-Encoding' in error.message


@pytest.mark.parametrize(
    'head',
    [
        'Content-Length: 5, 6',
        'Content-Length: 5_0',
        'Content-Length: -5',
        'Content-Length: +5',
        'Transfer-Encoding: gzip, chunked',
    ],
)
def test_framing_that_is_not_plain_is_refused(source, fetch, head):
    server = source(f'HTTP/1.1 200 OK\r\n{head}\r\n\r\nhello'.encode())
    assert failure(fetch(server.url())).code in ('source_http_error', 'source_unreachable')


@pytest.mark.parametrize(
    ('status', 'attempts', 'retryable'),
    [
        ('404 Go Away', 1, False),
        ('403 No', 1, False),
        ('204 None', 1, False),
        ('206 Part', 1, True),
        ('408 Slow', 3, True),
        ('429 Lots', 3, True),
        ('500 Oops', 3, True),
        ('503 Busy', 3, True),
    ],
)
def test_statuses(source, fetch, ok, status, attempts, retryable):
    server = source(ok(b'', status=status))
    error = failure(fetch(server.url()))
    assert error.code == 'source_http_error'
    assert error.retryable is retryable
    assert status[:3] in error.message
    assert status[4:] not in error.message.replace('Partial', '')
    assert len(server.requests) == attempts


def test_a_bad_moment_of_the_source_passes(source, fetch, ok):
    server = source(ok(b'', status='503 X'), ok(b'', status='500 X'), ok(BODY))
    assert read_all(fetch(server.url())) == BODY


def test_retry_after_is_bounded(source, fetch, ok):
    server = source(ok(b'', 'Retry-After: 3600', status='429 X'))
    assert failure(fetch(server.url())).code == 'source_http_error'
    assert len(server.requests) == 1
    server = source(ok(b'', 'Retry-After: 0', status='429 X'), ok(BODY))
    assert read_all(fetch(server.url())) == BODY


def test_no_word_of_an_answer_is_repeated(source, fetch, ok):
    server = source(ok(b'INTERNAL-BODY', 'X: INTERNAL-HEAD', status='404 INTERNAL-REASON'))
    assert 'INTERNAL' not in failure(fetch(server.url())).message


def test_all_that_is_no_web_server_reads_the_same(source, fetch, ok, names):
    closed = source(ok(BODY))
    closed.close()
    banner = source(b'SSH-2.0-OpenSSH_9.2\r\n')
    mute = source(b'')
    for url in (closed.url(), banner.url(), mute.url()):
        error = failure(fetch(url))
        assert (error.code, error.retryable) == ('source_unreachable', True)
        assert error.message == (
            f'The source {url} cannot be reached, or does not answer as a web server.'
        )
    assert len(banner.requests) == 3


def test_a_name_that_leads_nowhere_is_told_as_when_it_is_given(source, fetch, ok):
    error = failure(fetch('http://nowhere.test/disk.raw'))
    assert (error.code, error.retryable) == ('source_unreachable', True)
    assert error.message == (
        'The host of the source http://nowhere.test/disk.raw cannot be resolved.'
    )
    # but not where a source sends the service on to
    away = source(ok(b'', 'Location: http://nowhere.test/', status='302 Found'))
    error = failure(fetch(away.url()))
    assert error.message == (
        f'The source {away.url()} cannot be reached, or does not answer as a web server.'
    )


def test_silence_before_the_answer_times_out(source, fetch):
    server = source(lambda request: server.wait_closed())
    error = failure(fetch(server.url(), read_timeout=0.1, retries=0))
    assert (error.code, error.retryable) == ('source_timeout', True)


def test_headers_in_a_trickle_time_out_all_the_same(source, fetch):
    def trickle(request):
        request.sock.sendall(b'HTTP/1.1 200 OK\r\n')
        while True:
            request.sock.sendall(b'X: y\r\n')
            if server._done.wait(0.02):
                return

    server = source(trickle)
    assert failure(fetch(server.url(), read_timeout=0.3, retries=0)).code == 'source_timeout'


def test_silence_in_the_body_times_out_and_the_bytes_before_it_are_kept(source, fetch, ok):
    def stall(request):
        request.sock.sendall(ok(b'hello', ETAG, length=10))
        server.wait_closed()

    server = source(
        stall, ok(b'world', 'Content-Range: bytes 5-9/10', ETAG, status='206 Partial Content')
    )
    assert read_all(fetch(server.url(), idle_timeout=0.2)) == b'helloworld'
    server = source(stall)
    assert failure(fetch(server.url(), idle_timeout=0.1, retries=0)).code == 'source_timeout'


def test_a_body_in_a_trickle_below_the_minimum_rate_times_out(source, fetch, ok):
    def trickle(request):
        request.sock.sendall(ok(b'', length=1000))
        while not server._done.wait(0.02):
            request.sock.sendall(b'x')

    server = source(trickle)
    slow = fetch(server.url(), idle_timeout=0.3, minimum_rate=10_000, retries=0)
    assert failure(slow).code == 'source_timeout'


class Stop(Exception):
    pass


def stop_when(event):
    def hook():
        if event.is_set():
            raise Stop

    return hook


def assert_stops_soon(http_source, event):
    began = time.monotonic()
    timer = threading.Timer(0.1, event.set)
    timer.start()
    with pytest.raises(Stop):
        read_all(http_source)
    timer.join()
    http_source.close()
    assert time.monotonic() - began < 1.0


def test_cancel_acts_while_the_source_is_silent(source, fetch, ok):
    event = threading.Event()

    def stall(request):
        request.sock.sendall(ok(b'hello', length=10))
        server.wait_closed()

    server = source(stall)
    assert_stops_soon(fetch(server.url(), stop=stop_when(event)), event)


def test_cancel_acts_before_the_headers_came(source, fetch):
    event = threading.Event()
    server = source(lambda request: server.wait_closed())
    assert_stops_soon(fetch(server.url(), stop=stop_when(event)), event)


def test_cancel_acts_during_a_pause(source, fetch, ok):
    event = threading.Event()
    server = source(ok(b'', status='503 X'))
    assert_stops_soon(fetch(server.url(), stop=stop_when(event), retry_backoff=30.0), event)


def test_options_are_followed(source, fetch, ok):
    server = source(ok(BODY))
    read_all(fetch(server.url(), user_agent='mine/1'))
    assert server.requests[0].headers['user-agent'] == 'mine/1'


def test_a_source_can_be_closed_at_any_time(source, fetch, ok):
    never_opened = fetch(source(ok(BODY)).url())
    never_opened.close()
    opened = fetch(source(ok(BODY)).url())
    assert isinstance(opened.open(), HttpSource)
    opened.close()
    opened.close()
