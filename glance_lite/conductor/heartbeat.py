# SPDX-License-Identifier: Apache-2.0
"""The heartbeat of a conductor: one thread that speaks for all imports that it runs.

Each beat renews every lease and publishes the progress in the same statement, learns of cancelled
imports, and tells that the conductor is alive.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterator

from oslo_log import log

from glance_lite.db import conductors, jobs, tasks
from glance_lite.db.engine import Database, Session
from glance_lite.image_import.run import ImportRun

LOG = log.getLogger(__name__)

#: Seconds between two beats at most; progress is as old as this.
BEAT_SECONDS = 1.0


class Heartbeat:
    """Keeps the leases of running imports. Thread safe."""

    def __init__(
        self, db: Database, name: str, host: str, areas: list[str], lease_seconds: float
    ) -> None:
        self._db = db
        self._name, self._host, self._areas = name, host, areas
        self._lease_ms = int(lease_seconds * 1000)
        self._period = min(BEAT_SECONDS, lease_seconds / 4)
        self._runs: dict[str, ImportRun] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Beat while the block runs."""
        self._stop.clear()
        self.check_in()
        self._thread = threading.Thread(target=self._loop, name='heartbeat', daemon=True)
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            with contextlib.suppress(Exception), self._db.writer() as session:
                conductors.check_out(session, self._name)

    @contextlib.contextmanager
    def speaking_for(self, run: ImportRun) -> Iterator[None]:
        """Renew the lease of an import while the block runs."""
        with self._lock:
            self._runs[run.task.task_id] = run
        try:
            yield
        finally:
            with self._lock:
                self._runs.pop(run.task.task_id, None)

    @property
    def runs(self) -> list[ImportRun]:
        """Imports that are running now."""
        with self._lock:
            return list(self._runs.values())

    def check_in(self) -> None:
        """Tell that the conductor is alive."""
        with self._db.writer() as session:
            conductors.check_in(session, self._name, self._host, self._areas)

    def beat(self) -> None:
        """Do one beat. An import whose lease was lost learns it at its next checkpoint."""
        for run in self.runs:
            asked_at = time.monotonic()
            held, cancelled = self._db.transact(functools.partial(self._renew, run))
            if not held:
                run.lease.lose()
                if run in self.runs:  # else it has just ended and gave its job up itself
                    LOG.warning('Import %s: lost to another conductor', run.task.task_id)
                continue
            run.lease.renewed(asked_at)
            if cancelled:
                run.cancel()

    def _renew(self, run: ImportRun, session: Session) -> tuple[bool, bool]:
        task_id = run.task.task_id
        held = jobs.renew(session, task_id, run.lease.gen, self._lease_ms, run.progress())
        return held, held and tasks.is_cancelled(session, task_id)

    def _loop(self) -> None:
        beats = 0
        while not self._stop.wait(self._period):
            try:
                self.beat()
                beats += 1
                if beats % 2 == 0:
                    self.check_in()
            except Exception as error:
                # the leases run on for a while; the next beat may find the database again
                LOG.warning('The heartbeat of %s failed: %s', self._name, error)
