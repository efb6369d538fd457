# SPDX-License-Identifier: Apache-2.0
"""Rings the doorbell for imports that the API has posted in the database.

In a thread of its own: no request waits for a board or fails with it. While the board does not
answer, announcements are kept as long as their imports wait. What is lost with the process is found
by a conductor's reconciliation.
"""

from __future__ import annotations

import collections
import threading
from typing import Any

from oslo_config import cfg
from oslo_log import log

from glance_lite.db import jobs
from glance_lite.db.engine import Database
from glance_lite.jobs.address import BoardAddress

LOG = log.getLogger(__name__)

#: Announcements that wait at most; the oldest give way.
_LENGTH = 1000
#: Seconds between a failure and the next attempt.
_PAUSE_SECONDS = 1.0


class Announcer:
    """Announces imports, or does nothing where the database is the only board. Thread safe."""

    def __init__(self, db: Database | None = None, address: BoardAddress | None = None) -> None:
        self._db, self._address = db, address
        self._waiting: collections.deque[str] = collections.deque(maxlen=_LENGTH)
        self._ring = threading.Event()
        self._pause = threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, db: Database) -> Announcer:
        """Return the announcer of a configuration; it connects with its first announcement.

        :raises ConfigError: the board's URL cannot be used.
        """
        return cls(db, BoardAddress.from_conf(conf))

    def announce(self, task_id: str) -> None:
        """Tell the conductors soon that an import, which is committed, waits for one."""
        if self._address is None:
            return
        self._waiting.append(task_id)
        self._ring.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._loop, name='announcer', daemon=True
                    )
                    self._thread.start()

    def close(self) -> None:
        """Disconnect, and announce nothing more."""
        self._closed = True
        self._pause.set()
        self._ring.set()
        if self._thread is not None:
            self._thread.join(10)

    def _loop(self) -> None:
        from glance_lite.jobs.doorbell import Doorbell  # TaskFlow is slow to import

        assert self._address is not None
        bell = Doorbell(self._address, claim_seconds=10.0)  # it claims nothing
        while not self._closed:
            self._ring.wait()
            self._ring.clear()
            task_ids = []
            while self._waiting:
                task_ids.append(self._waiting.popleft())
            try:
                self._post(bell, task_ids)
            except Exception as error:
                LOG.debug('Imports were not announced: %s', error)
                self._waiting.extend(task_ids)
                if not self._pause.wait(_PAUSE_SECONDS):
                    self._ring.set()
        bell.close()

    def _post(self, bell: Any, task_ids: list[str]) -> None:
        """Post those of the imports that still wait.

        :raises Exception: the board or the database does not answer.
        """
        assert self._db is not None
        with self._db.reader() as session:
            found = jobs.list_waiting(session, task_ids)
        if found and not bell.is_up and not bell.connect():
            raise ConnectionError('The job board does not answer')
        for job in found:
            bell.post(job.uuid, job.area)
