# SPDX-License-Identifier: Apache-2.0
"""What images of a run consist of, and the HTTP source that offers it: quick, slow, cut at will."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_POOL = random.Random(3).randbytes(12 << 20)
#: What the plugin ``transformer`` puts before the data.
TRANSFORMED_BY = {'transformer': bytes(512), 'old_transformer': bytes(512)}
_PIECE_BYTES = 128 * 1024


class Disk:
    """The data of one image: nothing but its place in a pool of random bytes is kept."""

    def __init__(self, rng: random.Random, seconds: float = 0, size: int | None = None) -> None:
        """Choose data that takes ``seconds`` to come; of this size in bytes, or of any."""
        self.size = size or rng.choice((1, 1, 1, 1, 2, 2, 4, 8)) * rng.randint(700_000, 1 << 20)
        self._start = rng.randrange(len(_POOL) - self.size)
        self.seconds = seconds

    @property
    def data(self) -> memoryview:
        """All of it."""
        return memoryview(_POOL)[self._start : self._start + self.size]

    def pieces(self) -> Iterator[bytes]:
        """Give it piece by piece."""
        pause = self.seconds / (self.size // _PIECE_BYTES + 1)
        for start in range(0, self.size, _PIECE_BYTES):
            yield bytes(self.data[start : start + _PIECE_BYTES])
            if pause:
                time.sleep(pause)

    def sha512(self, plugins: list[str]) -> str:
        """Return the hash of what these plugins make of it."""
        digest = hashlib.sha512()
        for name in plugins:
            digest.update(TRANSFORMED_BY.get(name, b''))
        digest.update(self.data)
        return digest.hexdigest()


class DiskSource(ThreadingHTTPServer):
    """Serves ``disks`` by name at ``/<name>``, ranges too."""

    daemon_threads = True

    def __init__(self) -> None:
        self.disks: dict[str, Disk] = {}
        self._generation = 0
        super().__init__(('127.0.0.1', 0), _Handler)

    @property
    def url(self) -> str:
        """Base URL."""
        return f'http://127.0.0.1:{self.server_port}'

    def cut(self) -> None:
        """Break every answer that is being sent."""
        self._generation += 1

    @property
    def generation(self) -> int:
        """Answers of an older one are broken."""
        return self._generation


class _Handler(BaseHTTPRequestHandler):
    server: DiskSource

    def do_GET(self) -> None:
        disk = self.server.disks.get(self.path.strip('/'))
        if disk is None:
            self.send_error(404)
            return
        generation = self.server.generation
        first = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = int(first[1]) if first else 0
        self.send_response(206 if first else 200)
        self.send_header('ETag', '"one"')
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('Content-Length', str(disk.size - start))
        if first:
            self.send_header('Content-Range', f'bytes {start}-{disk.size - 1}/{disk.size}')
        self.end_headers()
        sent = 0
        with contextlib.suppress(OSError):
            for piece in disk.pieces():
                if self.server.generation != generation:
                    self.close_connection = True
                    return
                part = piece[max(0, start - sent) :]
                sent += len(piece)
                if part:
                    self.wfile.write(part)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def disk_source() -> Iterator[DiskSource]:
    """Serve disks while the block runs."""
    server = DiskSource()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
