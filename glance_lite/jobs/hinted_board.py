# SPDX-License-Identifier: Apache-2.0
"""The SQL board, looked at only when a TaskFlow board elsewhere says that something waits.

That board is a doorbell: an entry on it is a hint. Which imports wait, in which order, and who may
run them is read and decided in the database, as without it. While it does not answer, conductors
look into the database as often as without it; so nothing waits for it, and it may forget all.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from oslo_log import log
from taskflow import exceptions as taskflow_exceptions

from glance_lite.db import jobs
from glance_lite.db.engine import Database
from glance_lite.jobs.doorbell import BoardDown, Doorbell
from glance_lite.jobs.keeper import Keeper
from glance_lite.jobs.sql_board import SQLJob, SQLJobBoard

LOG = log.getLogger(__name__)

#: Entries that are looked at together.
_BATCH = 20
#: Seconds that an entry is left alone whose import may not be claimed at present.
_ASIDE_SECONDS = 1.0


class HintedBoard(SQLJobBoard):
    """The board that one conductor looks at, with a doorbell."""

    def __init__(
        self,
        name: str,
        db: Database,
        lease_seconds: float,
        areas: list[str],
        who: str,
        doorbell: Doorbell,
        reconcile_seconds: float,
        most_of_project: Callable[[], int] = lambda: 0,
    ) -> None:
        """Claim for the conductor ``who``; see :class:`SQLJobBoard` for the rest."""
        super().__init__(name, db, lease_seconds, areas, most_of_project)
        self._bell = doorbell
        self._keeper = Keeper(db, doorbell, who, lease_seconds, reconcile_seconds)
        self._who = who
        self._hints: dict[str, Any] = {}
        self._aside: dict[str, float] = {}
        self._lock = threading.Lock()

    def connect(self) -> None:
        """Begin to use the doorbell; until it answers the database is looked at."""
        self._keeper.start()

    def close(self) -> None:
        """Let go of the doorbell."""
        self._keeper.stop()
        self._bell.close()

    def iterjobs(
        self, only_unclaimed: bool = False, ensure_fresh: bool = False
    ) -> Iterator[SQLJob]:
        """Return the jobs that can be claimed, the oldest first, if an entry says there are any."""
        self._hints = {}
        if not self._bell.is_up:
            return super().iterjobs()
        try:
            self._hints = self._listen()
            if not self._hints:
                return iter(())
            found = list(super().iterjobs())
            self._sort_out({job.uuid for job in found})
        except BoardDown:
            return super().iterjobs()
        return iter(found)

    def claim(self, job: SQLJob, who: str) -> None:
        """Take the job: first its entry, if it has one, then the lease.

        :raises UnclaimableJob: another was quicker with either.
        """
        entry = self._hints.pop(job.uuid, None)
        with contextlib.suppress(BoardDown):
            if entry is not None and not self._bell.claim(entry, who):
                raise taskflow_exceptions.UnclaimableJob(f'Job {job.uuid} is claimed already')
        try:
            super().claim(job, who)
        except BaseException:
            self._put_aside(job.uuid)
            if entry is not None:
                with contextlib.suppress(BoardDown):
                    self._bell.abandon(entry, who)
            raise
        self._keeper.runs(job.uuid, entry)

    def consume(self, job: SQLJob, who: str) -> None:
        """Remove the finished job, then its entry.

        :raises NotFound: it is no longer ours.
        """
        self._end(job, who, super().consume, self._bell.remove)

    def abandon(self, job: SQLJob, who: str) -> None:
        """Give the job back, then its entry, to be claimed by anyone at once.

        :raises NotFound: it is no longer ours.
        """
        if self._end(job, who, super().abandon, self._bell.abandon) is None:
            self._keeper.hurry()  # nothing tells the others of it

    def trash(self, job: SQLJob, who: str) -> None:
        """Give the job back after a fault, then its entry.

        :raises NotFound: it is no longer ours.
        """
        self._end(job, who, super().trash, self._bell.abandon)

    def _end(self, job: SQLJob, who: str, change: Any, change_entry: Any) -> Any:
        entry = self._keeper.ended(job.uuid)
        try:
            change(job, who)
        except BaseException:
            change_entry = self._bell.abandon  # the import may not have ended
            raise
        finally:
            if entry is not None:
                with contextlib.suppress(BoardDown):
                    change_entry(entry, who)
        return entry

    def _listen(self) -> dict[str, Any]:
        """Return entries that this conductor can act on, by task; a task may have several."""
        now = time.monotonic()
        with self._lock:
            self._aside = {uuid: until for uuid, until in self._aside.items() if until > now}
            aside = set(self._aside)
        fitting = (
            entry
            for entry in self._bell.list_unclaimed()
            if entry.details['task_id'] not in aside
            and entry.details.get('area') in (None, *self._areas)
        )
        return {entry.details['task_id']: entry for entry in itertools.islice(fitting, _BATCH)}

    def _sort_out(self, claimable: set[str]) -> None:
        """Remove the entries of imports that are over; leave those alone that another runs."""
        rest = [uuid for uuid in list(self._hints) if uuid not in claimable]
        if not rest:
            return
        with self._db.reader() as session:
            unfinished = jobs.list_unfinished(session, rest)
        for uuid in rest:
            entry = self._hints.pop(uuid, None)
            if entry is None:
                continue
            if uuid in unfinished:
                self._put_aside(uuid)
            elif self._bell.claim(entry, self._who):
                LOG.debug('The job board had an entry of import %s, which is over', uuid)
                self._bell.remove(entry, self._who)

    def _put_aside(self, uuid: str) -> None:
        with self._lock:
            self._aside[uuid] = time.monotonic() + _ASIDE_SECONDS
