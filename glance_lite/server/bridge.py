# SPDX-License-Identifier: Apache-2.0
"""The bridge from green threads to native ones: pools, and the wake-up of those who wait.

One eventfd for each process tells the hub that work is done; no monkey patching is involved, and
what runs in the pools knows nothing of green threads. Which work goes where belongs to
``connection``.
"""

import collections
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import eventlet
from eventlet import event, hubs

from glance_lite.server.options import ServerOptions

_T = TypeVar('_T')


class Bridge:
    """Run functions in native threads while the calling green thread waits."""

    def __init__(self, options: ServerOptions) -> None:
        self.requests = ThreadPoolExecutor(options.request_threads, 'request')
        self.bodies = ThreadPoolExecutor(options.body_threads, 'body')
        self.downloads = ThreadPoolExecutor(options.download_threads, 'download')
        self._free_bodies = options.body_threads + options.body_backlog
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._done: collections.deque[tuple[event.Event, Future[Any] | None]] = collections.deque()
        self._running = 0
        self._parked: set[event.Event] = set()
        self._parks = True
        self._waker = eventlet.spawn(self._wake)

    def take_body_place(self) -> bool:
        """Take a place among the bodies; False when there is none."""
        if self._free_bodies < 1:
            return False
        self._free_bodies -= 1
        return True

    def free_body_place(self) -> None:
        """Give the place back."""
        self._free_bodies += 1

    def run(self, pool: ThreadPoolExecutor, function: Callable[..., _T], *arguments: Any) -> _T:
        """Return what the function returns or raise what it raises."""
        done = event.Event()

        def report(future: Future[_T]) -> None:
            self._done.append((done, future))
            os.eventfd_write(self._descriptor, 1)

        self._running += 1
        pool.submit(function, *arguments).add_done_callback(report)
        try:
            return done.wait().result()
        finally:
            self._running -= 1

    def park(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Return when the function that ``begin`` is given was called, in whatever thread.

        No thread is held until then. Returns at once after :meth:`release_parked`.
        """
        done = event.Event()

        def wake() -> None:
            if done in self._parked:
                self._done.append((done, None))
                os.eventfd_write(self._descriptor, 1)

        if self._parks:
            self._parked.add(done)
        begin(wake)
        try:
            if self._parks:
                done.wait()
        finally:
            self._parked.discard(done)

    def release_parked(self) -> None:
        """Let those who are parked go on, and let nobody park any more."""
        self._parks = False
        for done in self._parked:
            if not done.ready():
                done.send(None)

    def _wake(self) -> None:
        while True:
            hubs.trampoline(self._descriptor, read=True)
            os.eventfd_read(self._descriptor)
            while self._done:
                done, future = self._done.popleft()
                if not done.ready():
                    done.send(future)

    def close(self) -> None:
        """Let the threads end; one that is stuck in the application is not waited for."""
        self._waker.kill()
        idle = not self._running
        for pool in (self.requests, self.bodies, self.downloads):
            pool.shutdown(wait=idle, cancel_futures=True)
        if idle:
            os.close(self._descriptor)
