# SPDX-License-Identifier: Apache-2.0
"""Sources on loopback that say word for word what a test wants, and names that lead to them."""

import contextlib
import ipaddress
import socket
import threading

import pytest

from glance_lite import remote
from glance_lite.remote import resolver
from glance_lite.remote.url_filter import HostList


class Request:
    """What a source was asked: request line, headers in lower case, and the connection's socket."""

    def __init__(self, head, sock):
        lines = head.decode('latin-1').split('\r\n')
        self.method, self.target, _ = lines[0].split(' ')
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(':')
            self.headers[name.lower()] = value.strip()
        self.sock = sock


class Source:
    """A server whose answers are functions of the request; the last one is used again and again.

    An answer is bytes to send (the connection closes after them), or a callable that gets the
    :class:`Request` and returns such bytes or sends them itself.
    """

    def __init__(self, *answers, host='127.0.0.1', context=None, listener=None):
        self.answers = list(answers)
        self.requests = []
        self.accepted = 0
        self._context = context
        self._listener = listener or socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, path='/disk.raw', host='source.test', scheme='http'):
        return f'{scheme}://{host}:{self.port}{path}'

    def wait_closed(self):
        """Block until the test is over; for answers that fall silent."""
        self._done.wait(10)

    def close(self):
        self._done.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock):
        sock.settimeout(5)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            if self._context is not None:
                sock = stack.enter_context(self._context.wrap_socket(sock, server_side=True))
            request = Request(self.read_head(sock), sock)
            self.requests.append(request)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if callable(answer):
                answer = answer(request)
            if answer:
                sock.sendall(answer)

    @staticmethod
    def read_head(sock):
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            data = sock.recv(1)
            if not data:
                raise OSError('no request')
            head += data
        return head[:-4]


@pytest.fixture
def source():
    """Return a function that starts a :class:`Source`; all of them end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*answers, **options):
            made = Source(*answers, **options)
            stack.callback(made.close)
            return made

        yield start


class Names:
    """A resolver: names to lists of answers, one per lookup, the last one again and again."""

    def __init__(self, **names):
        self.answers = {'source.test': [['127.0.0.1']], 'other.test': [['127.0.0.1']]}
        self.asked = []

    def add(self, name, *answers):
        self.answers[name] = list(answers)

    def __call__(self, host, timeout_seconds, should_stop):
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            raise resolver.NameNotResolved(host, temporary=False)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ipaddress.ip_address(text) for text in answer]


@pytest.fixture
def names():
    return Names()


@pytest.fixture
def open_filter(names):
    """A filter as in production, but for loopback (127.0.0.0/8 and ::1) and all ports."""
    return remote.UrlFilter(
        permitted_networks=HostList.parse(['127.0.0.0/8', '::1'], 'permitted_networks'),
        allowed_ports=frozenset(),
        resolve=names,
    )


@pytest.fixture
def fetch(open_filter):
    """Return a function that makes an HttpSource with short times and no pauses."""

    def make(url, *, url_filter=open_filter, max_bytes=None, headers=None, stop=None, **options):
        quick = {
            'connect_timeout': 3.0,
            'read_timeout': 5.0,
            'idle_timeout': 5.0,
            'retries': 2,
            'retry_backoff': 0.0,
        }
        return remote.HttpSource(
            url_filter,
            remote.HttpOptions(**{**quick, **options}),
            url,
            max_bytes=max_bytes,
            headers=headers,
            should_stop=stop or (lambda: None),
        )

    return make


def ok(body, *headers, status='200 OK', length=None):
    """Build an answer; ``length`` is what Content-Length claims, if not the truth."""
    size = len(body) if length is None else length
    lines = [f'HTTP/1.1 {status}', f'Content-Length: {size}', *headers]
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + body


@pytest.fixture(name='ok')
def ok_fixture():
    return ok


@pytest.fixture
def redirect():
    def make(location, status='302 Found'):
        return ok(b'', f'Location: {location}', status=status)

    return make
