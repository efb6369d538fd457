# SPDX-License-Identifier: Apache-2.0
"""The heartbeat of a conductor: one thread that speaks for all imports that it runs.

Each beat renews every lease and publishes the progress in the same statement, learns of cancelled
imports, sees which ones stand still, and tells that the conductor is alive.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.db import conductors, jobs, tasks
from glance_lite.db.engine import Database, Session
from glance_lite.image_import.run import ImportRun, late

LOG = log.getLogger(__name__)

#: Seconds between two beats at most; progress is as old as this.
BEAT_SECONDS = 1.0
#: Seconds after which a step that was asked to end, and goes on, is left alone.
DEAF_SECONDS = 0.5
#: Seconds over its ``timeout`` in which a plugin may notice by itself that it is to end.
OVERDUE_SECONDS = 2.0
#: Seconds that an import may then take to be undone.
UNDO_SECONDS = 60.0


class Heartbeat:
    """Keeps the leases of running imports. Thread safe."""

    def __init__(
        self,
        db: Database,
        name: str,
        host: str,
        areas: list[str],
        lease_seconds: float,
        patience: Callable[[ImportRun], float],
        leave: Callable[[ImportRun], None],
    ) -> None:
        """Speak for the conductor ``name``.

        :param patience: tells for how many seconds an import may stand still where it is.
        :param leave: is called with an import whose step does not end although it should.
        """
        self._db = db
        self._name, self._host, self._areas = name, host, areas
        self._lease_ms = int(lease_seconds * 1000)
        self._period = min(BEAT_SECONDS, lease_seconds / 4)
        self._patience, self._leave = patience, leave
        self._runs: dict[str, _Watched] = {}
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

    @contextlib.contextmanager
    def speaking_for(self, run: ImportRun) -> Iterator[None]:
        """Renew the lease of an import while the block runs."""
        watched = _Watched(run)
        with self._lock:
            self._runs[run.task.task_id] = watched
        try:
            with run.lease.renewing():
                yield
        finally:
            with self._lock:
                # another attempt may have taken its place
                if self._runs.get(run.task.task_id) is watched:
                    del self._runs[run.task.task_id]

    @property
    def runs(self) -> list[ImportRun]:
        """Imports that are running now."""
        with self._lock:
            return [watched.run for watched in self._runs.values()]

    def check_in(self) -> None:
        """Tell that the conductor is alive."""
        with self._db.writer() as session:
            conductors.check_in(session, self._name, self._host, self._areas)

    def beat(self) -> None:
        """Do one beat. An import whose lease was lost learns it at its next checkpoint."""
        with self._lock:
            watched = list(self._runs.values())
        if not watched:
            return
        asked_at = time.monotonic()
        held, cancelled = self._db.transact(lambda session: self._renew(session, watched))
        for each in watched:
            run, task_id = each.run, each.run.task.task_id
            if run.is_settled:
                continue
            if task_id not in held:
                run.lease.lose()
                if run in self.runs:  # else it has just ended and gave its job up itself
                    LOG.warning('Import %s: lost to another conductor', task_id)
                continue
            run.lease.renewed(asked_at)
            if task_id in cancelled:
                run.cancel()
            self._judge(each)

    def _renew(self, session: Session, watched: list[_Watched]) -> tuple[set[str], set[str]]:
        runs = [each.run for each in watched]
        held = {
            run.task.task_id
            for run in runs
            if jobs.renew(session, run.task.task_id, run.lease.gen, self._lease_ms, _live(run))
        }
        return held, tasks.list_cancelled(session, [run.task.task_id for run in runs])

    def _judge(self, watched: _Watched) -> None:
        """End an import that is late or stands still, if need be without its step."""
        run = watched.run
        if run.is_late:
            run.stop(late())
        patience = self._patience(run)
        if watched.still_for() > patience:
            run.stop(
                exceptions.ImportFailed(
                    'stalled', f'The import stood still for more than {patience:.0f} seconds.'
                )
            )
        if run.plugin_overdue > OVERDUE_SECONDS:
            run.stop(run.plugin_late())
        if run.stop_asked_at is None:
            return
        heard = run.stop_heard_at
        limit = DEAF_SECONDS if heard is None else UNDO_SECONDS
        if time.monotonic() - (heard or run.stop_asked_at) > limit:
            with self._lock:
                if self._runs.get(run.task.task_id) is not watched:
                    return
                del self._runs[run.task.task_id]
            self._leave(run)

    def _loop(self) -> None:
        beats = 0
        while not self._stop.wait(self._pause()):
            try:
                self.beat()
                beats += 1
                if beats % 2 == 0:
                    self.check_in()
            except Exception as error:
                # imports whose lease runs out wait until the database tells whose they are
                LOG.warning('The heartbeat of %s failed: %s', self._name, error)
                with self._lock:
                    for watched in self._runs.values():
                        watched.forgive()

    def _pause(self) -> float:
        """Return the seconds until the next beat: few while an import is to end."""
        if any(run.stop_asked_at and not run.stop_heard_at for run in self.runs):
            return min(self._period, DEAF_SECONDS / 2)
        return self._period


def _live(run: ImportRun) -> dict[str, Any]:
    """Return what is told of a running import: its progress, and what its plugins have done."""
    return run.progress() | {'receipts': list(run.receipts.values())}


class _Watched:
    """A run, and since when nothing about it has changed."""

    def __init__(self, run: ImportRun) -> None:
        self.run = run
        self._seen: tuple[object, ...] = ()
        self._since = time.monotonic()

    def still_for(self) -> float:
        """Return for how many seconds it has stood still."""
        run = self.run
        seen = (run.phase, run.bytes_done, run.activity)
        if seen != self._seen:
            self._seen = seen
            self._since = time.monotonic()
        return time.monotonic() - self._since

    def forgive(self) -> None:
        """Count from now: it may have waited for the database."""
        self._since = time.monotonic()
