# SPDX-License-Identifier: Apache-2.0
"""Measure how fast a service answers GET of an image while many clients upload at 1 KiB/s.

The uploaders run in a process of their own (this file as a program), half of them on ``file``,
half on ``stage``, each on an image of its own. Meanwhile GETs go out on new connections at fixed
times; a latency counts from the time its request was due, so waiting behind others is seen.
"""

from __future__ import annotations

import http.client
import json
import math
import selectors
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from http_client import UnexpectedAnswer
from measurement import Service, Setting
from processes import raise_open_files

FEW, MANY = 16, 1000
GET_SECONDS = 15
GETS_PER_SECOND = 10
GET_TIMEOUT_SECONDS = 5
SETTLE_SECONDS = 3
DECLARED_BYTES = 10 * 1024 * 1024
PIECE = bytes(1024)


def few(service: Service, setting: Setting) -> dict[str, float]:
    """Measure with 16 slow uploaders."""
    return _measure(service, FEW, 'slow16')


def many(service: Service, setting: Setting) -> dict[str, float]:
    """Measure with 1,000 slow uploaders."""
    return _measure(service, MANY, 'slow1000')


def _measure(service: Service, uploaders: int, prefix: str) -> dict[str, float]:
    client = service.client()
    target = client.create_image('bench slow target')
    images = [client.create_image(f'bench slow {number}') for number in range(uploaders)]
    uploads = [
        client.upload_head(image_id, 'file' if number % 2 else 'stage', DECLARED_BYTES).decode()
        for number, image_id in enumerate(images)
    ]
    client.close()
    with _Uploaders(service.port, uploads) as running:
        time.sleep(SETTLE_SECONDS)
        latencies, failed = _get_at_fixed_times(service, target)
        state = running.stop()
    answered = sorted(latencies)
    return {
        f'{prefix}_failed': 100 * failed / (failed + len(answered)),
        f'{prefix}_uploading': state['uploading'],
        f'{prefix}_kib_s': state['bytes'] / 1024 / state['seconds'] / uploaders,
        f'{prefix}_p50_ms': _quantile(answered, 0.5),
        f'{prefix}_p95_ms': _quantile(answered, 0.95),
        f'{prefix}_max_ms': _quantile(answered, 1),
    }


def _quantile(ordered: list[float], share: float) -> float:
    """Return the value that ``share`` of the sorted values do not exceed; inf when none came."""
    if not ordered:
        return math.inf
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _get_at_fixed_times(service: Service, image_id: str) -> tuple[list[float], int]:
    """GET an image at a fixed rate; return latencies in ms and the count of failures."""
    latencies: list[float] = []
    failures: list[str] = []

    def get(due: float) -> None:
        client = service.client(timeout_seconds=GET_TIMEOUT_SECONDS)
        try:
            client.call('GET', f'/v2/images/{image_id}')
            latencies.append((time.perf_counter() - due) * 1000)
        except (OSError, http.client.HTTPException, UnexpectedAnswer) as error:
            failures.append(str(error))
        finally:
            client.close()

    with ThreadPoolExecutor(GETS_PER_SECOND * (GET_TIMEOUT_SECONDS + 1)) as pool:
        start = time.perf_counter()
        for number in range(GET_SECONDS * GETS_PER_SECOND):
            due = start + number / GETS_PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            pool.submit(get, due)
    return latencies, len(failures)


class _Uploaders:
    """The process of the slow uploaders, for the time of a ``with`` block."""

    def __init__(self, port: int, heads: list[str]) -> None:
        self._port = port
        self._heads = heads

    def __enter__(self) -> _Uploaders:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process.stdin.write(json.dumps(self._heads) + '\n')
        self._process.stdin.flush()
        self._process.stdout.readline()
        return self

    def stop(self) -> dict[str, float]:
        """End the uploads; return bytes sent, seconds, and how many were still going on."""
        output, _ = self._process.communicate('\n')
        return json.loads(output)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class _SlowSockets:
    """Connections that each send 1 KiB a second until the service answers or closes."""

    def __init__(self, port: int, heads: list[str]) -> None:
        self._selector = selectors.DefaultSelector()
        self._open: dict[int, socket.socket] = {}
        self.bytes_sent = 0
        for number, head in enumerate(heads):
            sock = socket.create_connection(('127.0.0.1', port), 30)
            sock.sendall(head.encode())
            sock.setblocking(False)
            self._open[number] = sock
            self._selector.register(sock, selectors.EVENT_READ, number)

    def __len__(self) -> int:
        return len(self._open)

    def send_round(self) -> None:
        """Give every connection one piece, spread over one second."""
        start = time.monotonic()
        numbers = list(self._open)
        for position, number in enumerate(numbers):
            wait = start + position / len(numbers) - time.monotonic()
            self._drop_answered(max(0.0, wait))
            if number in self._open:
                self._send(number)
        self._drop_answered(max(0.0, start + 1 - time.monotonic()))

    def _send(self, number: int) -> None:
        try:
            self.bytes_sent += self._open[number].send(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._drop(number)

    def _drop_answered(self, wait_seconds: float) -> None:
        """Wait, and close each connection on which anything arrives: its upload has ended."""
        if not self._open:
            time.sleep(wait_seconds)
        for key, _ in self._selector.select(wait_seconds) if self._open else ():
            self._drop(key.data)

    def _drop(self, number: int) -> None:
        sock = self._open.pop(number)
        self._selector.unregister(sock)
        sock.close()


def main(port: str) -> None:
    """Upload slowly until a line arrives on standard input; then print the account as JSON."""
    raise_open_files()
    sockets = _SlowSockets(int(port), json.loads(sys.stdin.readline()))
    print('ready', flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    start = time.monotonic()
    while not ended.is_set():
        sockets.send_round()
    account = {
        'bytes': sockets.bytes_sent,
        'seconds': time.monotonic() - start,
        'uploading': len(sockets),
    }
    print(json.dumps(account), flush=True)


if __name__ == '__main__':
    main(sys.argv[1])
