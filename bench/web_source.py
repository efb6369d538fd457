# SPDX-License-Identifier: Apache-2.0
"""The web server that web-download fetches from: files, sendfile(2), a thread per request.

Run as a program of its own so that its work shares nothing with the clients:
``python web_source.py PORT FILE SMALL``. It answers GET and HEAD, of ``SMALL`` at ``/small.raw``
and of ``FILE`` at any other path, whole or from an offset (``Range: bytes=N-``, RFC 9110 section
14), with a strong ETag.
"""

from __future__ import annotations

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from processes import wait_for_port


class FileHandler(BaseHTTPRequestHandler):
    """Answer every request with one of the server's files."""

    protocol_version = 'HTTP/1.1'
    file: Path
    small: Path

    @property
    def path_served(self) -> Path:
        """The file that is asked for."""
        return self.small if self.path == '/small.raw' else self.file

    def do_GET(self) -> None:
        """Send headers and the file."""
        start = self._send_head()
        with self.path_served.open('rb') as file:
            self.connection.sendfile(file, start)

    def do_HEAD(self) -> None:
        """Send headers only."""
        self._send_head()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _send_head(self) -> int:
        size = self.path_served.stat().st_size
        match = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = min(int(match[1]), size) if match else 0
        self.send_response(206 if match else 200)
        if match:
            self.send_header('Content-Range', f'bytes {start}-{size - 1}/{size}')
        self.send_header('Content-Type', 'application/octet-stream')
        self.send_header('Content-Length', str(size - start))
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('ETag', f'"{self.path_served.name}-{size}"')
        self.end_headers()
        return start


class WebSource:
    """The server as a child process, for the time of a ``with`` block."""

    def __init__(self, port: int, file: Path, small: Path) -> None:
        self._command = [sys.executable, __file__, str(port), str(file), str(small)]
        self._port = port
        self.url = f'http://127.0.0.1:{port}/image.raw'
        self.small_url = f'http://127.0.0.1:{port}/small.raw'

    def __enter__(self) -> WebSource:
        self._process = subprocess.Popen(self._command)
        wait_for_port(self._port, 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def main(port: str, file: str, small: str) -> None:
    """Serve the files until the process is ended."""
    FileHandler.file, FileHandler.small = Path(file), Path(small)
    ThreadingHTTPServer(('127.0.0.1', int(port)), FileHandler).serve_forever()


if __name__ == '__main__':
    main(*sys.argv[1:])
