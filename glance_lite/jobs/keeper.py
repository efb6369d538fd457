# SPDX-License-Identifier: Apache-2.0
"""Keeps the doorbell and the database in step, in a thread of the conductor.

It connects, and again after a failure; it prolongs the claims on entries of running imports; and it
reconciles: imports that wait and have no entry get one, whoever lost it.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

from oslo_log import log

from glance_lite.db import jobs
from glance_lite.db.engine import Database
from glance_lite.jobs.doorbell import BoardDown, Doorbell

LOG = log.getLogger(__name__)

#: Entries posted in one go; claims are prolonged between two goes.
_BATCH = 200
#: Seconds between two attempts to connect, at least and at most.
_RETRY_SECONDS = (1.0, 2.0)


class Keeper:
    """What one conductor does for its board beside claiming. Thread safe."""

    def __init__(
        self,
        db: Database,
        doorbell: Doorbell,
        who: str,
        lease_seconds: float,
        reconcile_seconds: float,
    ) -> None:
        self._db = db
        self._bell = doorbell
        self._who = who
        self._period = min(1.0, lease_seconds / 4)
        self._reconcile_seconds = reconcile_seconds
        self._reconcile_at = self._connect_at = 0.0
        #: running import -> its entry, if it has one that we claim
        self._entries: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._loop, name='job-board', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was given back at the end is still posted."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        if self._bell.is_up and self._reconcile_at == 0.0:
            with contextlib.suppress(Exception):
                self.reconcile()

    def runs(self, task_id: str, entry: Any) -> None:
        """Note that an import runs here, with its claimed entry or None."""
        with self._lock:
            self._entries[task_id] = entry

    def ended(self, task_id: str) -> Any:
        """Note that an import no longer runs here; return its claimed entry or None."""
        with self._lock:
            return self._entries.pop(task_id, None)

    def hurry(self) -> None:
        """Reconcile at the next tick."""
        self._reconcile_at = 0.0

    def tick(self) -> None:
        """Do what is due now."""
        now = time.monotonic()
        if not self._bell.is_up:
            if now < self._connect_at:
                return
            self._connect_at = now + random.uniform(*_RETRY_SECONDS)
            if not self._bell.connect():
                return
            self._forget_entries()
            self.hurry()  # it may have forgotten all
        self._extend()
        if now >= self._reconcile_at:
            self._reconcile_at = now + self._reconcile_seconds * random.uniform(0.75, 1.25)
            finished = False
            try:
                finished = self.reconcile()
            finally:
                if not finished:
                    self.hurry()

    def reconcile(self) -> bool:
        """Post what waits and has no entry; False if there was more than fits in one go.

        An import that somebody runs is not posted: that would start it a second time.

        :raises BoardDown: the board does not answer.
        """
        posted = self._bell.list_all()
        self._adopt(posted)
        with self._db.reader() as session:
            waiting = jobs.list_waiting(session)
        missing = [job for job in waiting if job.uuid not in posted]
        for job in missing[:_BATCH]:
            self._bell.post(job.uuid, job.area)
        if missing:
            LOG.info('Posted %d waiting imports on the job board again', len(missing[:_BATCH]))
        return len(missing) <= _BATCH

    def _adopt(self, posted: dict[str, Any]) -> None:
        """Claim the entries of imports that run here without one, as after a restart."""
        with self._lock:
            bare = [uuid for uuid, entry in self._entries.items() if entry is None]
        for uuid in bare:
            entry = posted.get(uuid)
            if entry is None or not self._bell.claim(entry, self._who):
                continue
            with self._lock:
                running = uuid in self._entries
                if running:
                    self._entries[uuid] = entry
            if not running:  # it ended meanwhile
                self._bell.abandon(entry, self._who)

    def _extend(self) -> None:
        with self._lock:
            held = [(uuid, entry) for uuid, entry in self._entries.items() if entry is not None]
        for uuid, entry in held:
            if not self._bell.extend(entry, self._who):
                with self._lock:
                    lost = self._entries.get(uuid) is entry
                    if lost:
                        self._entries[uuid] = None
                if lost:
                    self.hurry()  # the board may have lost more

    def _forget_entries(self) -> None:
        """Entries belong to the connection that is gone; the next reconciliation finds them."""
        with self._lock:
            self._entries = dict.fromkeys(self._entries)

    def _loop(self) -> None:
        while True:
            try:
                self.tick()
            except BoardDown:
                pass  # has been logged
            except Exception as error:
                LOG.warning('The job board was not reconciled: %s', error)
            if self._stop.wait(self._period):
                return
