# SPDX-License-Identifier: Apache-2.0
"""An HTTP source on loopback that behaves, and misbehaves, as a path tells it to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Source(ThreadingHTTPServer):
    """Serves ``data`` at ``/disk``. ``/missing`` is 404, ``/short`` ends, ``/stall`` waits.

    ``/drip`` sends no more than a drop now and then until ``gate`` is set.
    """

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.closing = threading.Event()
        self.gate = threading.Event()
        super().__init__(('127.0.0.1', 0), _Handler)

    @property
    def url(self) -> str:
        """Base URL."""
        return f'http://127.0.0.1:{self.server_port}'


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        data = self.server.data
        if self.path == '/missing':
            self.send_error(404, 'secret words of the source')
            return
        if self.path == '/to-metadata':
            self.send_response(302)
            self.send_header('Location', 'http://169.254.169.254/latest')
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        half = len(data) // 2
        with contextlib.suppress(OSError):
            if self.path == '/disk':
                self.wfile.write(data)
                return
            self.wfile.write(data[:half])
            if self.path == '/stall':
                self.server.closing.wait(60)
            if self.path == '/drip':
                sent = half
                while sent < len(data) and not self.server.gate.wait(0.1):
                    sent += self.wfile.write(data[sent : sent + 64])
                self.wfile.write(data[sent:])

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def source(data: bytes) -> Iterator[Source]:
    """Serve ``data`` while the block runs."""
    server = Source(data)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.closing.set()
        server.gate.set()
        server.shutdown()
        server.server_close()
