# SPDX-License-Identifier: Apache-2.0
"""Wait for tasks to change: one look at the database for all who wait in a process.

Who waits, and what is answered then, belongs to ``api/waiting.py``.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping

from oslo_log import log

from glance_lite.db import tasks
from glance_lite.db.engine import Database

LOG = log.getLogger(__name__)

#: Seconds between two looks, and so the longest that a change goes unseen.
LOOK_SECONDS = 0.25
#: Who may wait at once in a process; whoever comes then is woken at once.
MOST_WAITING = 2000


@dataclasses.dataclass(eq=False)
class _Waiter:
    seen: Mapping[str, str]
    until: float
    wake: Callable[[], None]


class TaskWatch:
    """Wakes those who wait for tasks. Belongs to one process; may be used by many threads.

    Its thread is there only while somebody waits.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._waiters: set[_Waiter] = set()
        self._is_looking = False
        #: For a server that cannot wait without a thread: taken by the one who may hold one.
        self.held_thread = threading.Lock()

    def wait(self, seen: Mapping[str, str], seconds: float, wake: Callable[[], None]) -> None:
        """Have ``wake`` called once: when one of the tasks has another status, or time is over.

        Returns at once. ``wake`` is called in another thread, or in this one where too many wait;
        it must not block, nor raise.

        :param seen: the status of each task by its id, as the caller knows it.
        """
        waiter = _Waiter(seen, time.monotonic() + seconds, wake)
        with self._lock:
            crowded = len(self._waiters) >= MOST_WAITING
            if not crowded:
                self._waiters.add(waiter)
                if not self._is_looking:
                    threading.Thread(target=self._look, name='task-watch', daemon=True).start()
                    self._is_looking = True
        if crowded:
            wake()

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                waiters = list(self._waiters)
                if not waiters:
                    self._is_looking = False
                    return
            statuses = self._statuses({task_id for each in waiters for task_id in each.seen})
            now = time.monotonic()
            woken = [each for each in waiters if now >= each.until or _differs(each, statuses)]
            with self._lock:
                self._waiters.difference_update(woken)
            for each in woken:
                each.wake()

    def _statuses(self, task_ids: set[str]) -> dict[str, str] | None:
        """Return the status of those tasks that are there; None if nobody knows."""
        try:
            return self._db.read(lambda session: tasks.list_statuses(session, task_ids))
        except Exception as error:
            LOG.warning('Cannot look at tasks: %s', error)
            return None


def _differs(waiter: _Waiter, statuses: dict[str, str] | None) -> bool:
    return statuses is not None and any(
        statuses.get(task_id) != status for task_id, status in waiter.seen.items()
    )
