# SPDX-License-Identifier: Apache-2.0
"""A server on loopback for data that the service reads where it is."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Lets a configuration fetch from it.
PERMIT = (
    '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'
    '[web_download]\nretries = 0\n'
)


class Origin(ThreadingHTTPServer):
    """Serves what was published. ``manner``: with ranges, with no ranges, or in chunks."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.published: dict[str, bytes] = {}
        self.manner = 'ranges'
        self.asked: list[str | None] = []
        self.url = f'http://127.0.0.1:{self.server_port}'

    @classmethod
    @contextlib.contextmanager
    def serving(cls) -> Iterator[Origin]:
        """Serve while the block runs."""
        origin = cls()
        threading.Thread(target=origin.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield origin
        finally:
            origin.shutdown()
            origin.server_close()

    def publish(self, data: bytes) -> str:
        path = f'/{len(self.published)}.raw'
        self.published[path] = data
        return self.url + path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server: Origin

    def do_GET(self) -> None:
        asked = self.headers.get('Range')
        self.server.asked.append(asked)
        data = self.server.published.get(self.path)
        if data is None:
            self._send(404, b'secret words of the source')
            return
        found = re.fullmatch(r'bytes=(\d+)-(\d*)', asked or '')
        if found is None or self.server.manner != 'ranges':
            self._send(200, data)
            return
        first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
        part = f'bytes {first}-{last}/{len(data)}'
        self._send(206, data[first : last + 1], ('Content-Range', part))

    def _send(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        chunked = self.server.manner == 'chunks'
        for name, value in headers:
            self.send_header(name, value)
        if chunked:
            self.send_header('Transfer-Encoding', 'chunked')
            body = b'%x\r\n%s\r\n0\r\n\r\n' % (len(body), body) if body else b'0\r\n\r\n'
        else:
            self.send_header('Content-Length', str(len(body)))
        self.send_header('Connection', 'close')
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *args: Any) -> None:
        pass
