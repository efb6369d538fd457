# SPDX-License-Identifier: Apache-2.0
"""Move image bytes once: read, hash, inspect, count and write them in a single pass.

Where bytes come from and go to is the caller's business. A slow source costs one small buffer and
no thread; a quick one gets large buffers and a thread for each hash, since hashing is what bounds
the rate. What is announced to be short is not worth the threads.
"""

from __future__ import annotations

import dataclasses
import hashlib
import mmap
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from glance_lite import exceptions
from glance_lite.inspection import Finding, Inspector

SMALL_BYTES = 64 * 1024
LARGE_BYTES = 1024 * 1024
#: Of so many bytes at most, what is announced is short.
SHORT_BYTES = 4 * 1024 * 1024
_SHORT_BUFFER_BYTES = 128 * 1024
#: Buffers in flight between reading and the hashes.
_BUFFERS = 6
#: So many full small reads in so many seconds make a source quick (1 MiB/s and more).
_QUICK_READS, _QUICK_SECONDS = 4, 0.25


class Source(Protocol):
    """Something that gives bytes in order, 0 at the end."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer from its start and return how many bytes."""
        ...


@dataclasses.dataclass(frozen=True)
class Facts:
    """What was measured while the bytes passed. Sizes in bytes; hashes in lower-case hex."""

    size: int
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    finding: Finding
    expected: dict[str, str] | None = None

    def to_record(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of an image that these facts decide."""
        return {
            'size': self.size,
            'virtual_size': self.finding.virtual_size,
            'checksum': self.checksum,
            'os_hash_algo': self.os_hash_algo,
            'os_hash_value': self.os_hash_value,
        }


def transfer(
    source: Source,
    write: Callable[[memoryview], None],
    *,
    hash_algo: str,
    max_bytes: int | None = None,
    expected_bytes: int | None = None,
    more_hashes: tuple[str, ...] = (),
    inspector: Inspector | None = None,
    advance: Callable[[int], None] | None = None,
) -> Facts:
    """Move all bytes of ``source`` to ``write``, and return what they were.

    :param max_bytes: more than this is refused as soon as it is known.
    :param expected_bytes: the size that was announced, if any.
    :param more_hashes: further hashlib names, reported in ``Facts.expected``.
    :param advance: told the count of each piece; may raise to stop.
    :raises LimitExceeded: more than ``max_bytes``.
    :raises InvalidRequest: not as many as ``expected_bytes``.
    """
    hashes = _Hashes(dict.fromkeys(('md5', hash_algo, *more_hashes)))
    inspector = inspector or Inspector()
    check = _SizeCheck(max_bytes, expected_bytes)

    def take(piece: memoryview) -> None:
        check.add(len(piece))
        inspector.eat(piece)
        write(piece)
        if advance is not None:
            advance(len(piece))

    try:
        if expected_bytes is not None and expected_bytes <= SHORT_BYTES:
            _pump_shortly(source, take, hashes)
        elif _pump_slowly(source, take, hashes):
            _pump_quickly(source, take, hashes)
        check.finish()
        digests = hashes.finish()
    finally:
        hashes.stop()
    return Facts(
        size=check.size,
        checksum=digests['md5'],
        os_hash_algo=hash_algo,
        os_hash_value=digests[hash_algo],
        finding=inspector.finish(),
        expected={name: digests[name] for name in more_hashes} or None,
    )


def _pump_shortly(source: Source, take: Callable[[memoryview], None], hashes: _Hashes) -> None:
    """Move all bytes through one buffer of medium size."""
    buffer = _mapped(_SHORT_BUFFER_BYTES)
    while count := source.readinto(buffer):
        piece = buffer[:count]
        take(piece)
        hashes.update(piece)


def _pump_slowly(source: Source, take: Callable[[memoryview], None], hashes: _Hashes) -> bool:
    """Move bytes through one small buffer; True when the source turns out to be quick."""
    buffer = memoryview(bytearray(SMALL_BYTES))
    full, since = 0, time.monotonic()
    while count := source.readinto(buffer):
        piece = buffer[:count]
        take(piece)
        hashes.update(piece)
        full = full + 1 if count == SMALL_BYTES else 0
        if full % _QUICK_READS == 0:
            if full and time.monotonic() - since < _QUICK_SECONDS:
                return True
            full, since = 0, time.monotonic()
    return False


def _pump_quickly(source: Source, take: Callable[[memoryview], None], hashes: _Hashes) -> None:
    """Move bytes through a few large buffers, hashed by threads of their own."""
    hashes.start_threads()
    while True:
        buffer = hashes.free_buffer()
        count = _fill(source, buffer)
        if not count:
            return
        piece = buffer[:count]
        hashes.submit(buffer, count)
        take(piece)
        hashes.done(buffer)


def _fill(source: Source, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer):
        count = source.readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def _mapped(size: int) -> memoryview:
    """Return a buffer that is mapped, not allocated: pages that are never filled cost nothing."""
    return memoryview(mmap.mmap(-1, size))


class _SizeCheck:
    def __init__(self, max_bytes: int | None, expected: int | None) -> None:
        self._max, self._expected = max_bytes, expected
        self.size = 0
        if max_bytes is not None and expected is not None:
            self._require(expected)

    def add(self, count: int) -> None:
        self.size += count
        self._require(self.size)
        if self._expected is not None and self.size > self._expected:
            raise exceptions.InvalidRequest(
                f'The image data is longer than the {self._expected} bytes announced.'
            )

    def finish(self) -> None:
        if self._expected is not None and self.size != self._expected:
            raise exceptions.InvalidRequest(
                f'The image data has {self.size} bytes, but {self._expected} were announced.'
            )

    def _require(self, size: int) -> None:
        if self._max is not None and size > self._max:
            raise exceptions.LimitExceeded(
                f'The image data is larger than the limit of {self._max} bytes.'
            )


class _Hashes:
    """Several hashes of the same bytes: at once in the caller's thread, or in threads.

    A buffer returns to the pool when each hash and the caller are done with it.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}
        self._queues: list[queue.SimpleQueue[Any]] = []
        self._threads: list[threading.Thread] = []
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._users: dict[int, int] = {}
        self._lock = threading.Lock()

    def update(self, piece: memoryview) -> None:
        for each in self._hashes.values():
            each.update(piece)

    def start_threads(self) -> None:
        for _ in range(_BUFFERS):
            self._free.put(_mapped(LARGE_BYTES))
        for name, each in self._hashes.items():
            inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
            thread = threading.Thread(
                target=self._run, args=(each, inbox), name=f'hash-{name}', daemon=True
            )
            thread.start()
            self._queues.append(inbox)
            self._threads.append(thread)

    def free_buffer(self) -> memoryview:
        return self._free.get()

    def submit(self, buffer: memoryview, count: int) -> None:
        with self._lock:
            self._users[id(buffer)] = len(self._queues) + 1
        for inbox in self._queues:
            inbox.put((buffer, count))

    def done(self, buffer: memoryview) -> None:
        with self._lock:
            self._users[id(buffer)] -= 1
            last = self._users[id(buffer)] == 0
        if last:
            self._free.put(buffer)

    def finish(self) -> dict[str, str]:
        self.stop()
        return {name: each.hexdigest() for name, each in self._hashes.items()}

    def stop(self) -> None:
        for inbox in self._queues:
            inbox.put(None)
        for thread in self._threads:
            thread.join()
        self._queues, self._threads = [], []

    def _run(self, each: Any, inbox: queue.SimpleQueue[Any]) -> None:
        while (item := inbox.get()) is not None:
            buffer, count = item
            each.update(buffer[:count])
            self.done(buffer)
