# SPDX-License-Identifier: Apache-2.0
"""A TaskFlow job board in the service's own database.

Claims are leases with a fencing token, decided by one conditional UPDATE and timed by the
database's clock. Jobs come in the order in which they were posted. Only unclaimed or expired jobs
are listed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from taskflow import exceptions as taskflow_exceptions
from taskflow import states
from taskflow.jobs import base

from glance_lite.db import jobs
from glance_lite.db.engine import Database
from glance_lite.jobs.lease import Lease


@functools.total_ordering
class SQLJob(base.Job):
    """One row of the board. ``lease`` is set by a successful claim."""

    def __init__(self, board: SQLJobBoard, row: jobs.JobRow) -> None:
        super().__init__(board, row.name, uuid=row.uuid, details=row.details)
        self.gen = row.gen
        self.created_ms = row.created_ms
        self.lease: Lease | None = None

    @property
    def created_on(self) -> float:
        """Seconds since 1970."""
        return self.created_ms / 1000

    @property
    def last_modified(self) -> None:
        """Not kept."""
        return None

    @property
    def priority(self) -> Any:
        """All jobs are equal; the oldest comes first."""
        return base.JobPriority.NORMAL

    @property
    def state(self) -> str:
        """What the listing knows: only jobs that can be claimed are listed."""
        return states.UNCLAIMED if self.lease is None else states.CLAIMED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SQLJob) and self.uuid == other.uuid

    def __lt__(self, other: SQLJob) -> bool:
        return self.created_ms < other.created_ms

    def __hash__(self) -> int:
        return hash(self.uuid)


class SQLJobBoard(base.JobBoard):
    """The board that one conductor looks at."""

    def __init__(self, name: str, db: Database, lease_seconds: float, areas: list[str]) -> None:
        """Look at ``db``, for jobs whose staged bytes, if any, lie in one of ``areas``."""
        super().__init__(name, {})
        self._db = db
        self._lease_seconds = lease_seconds
        self._areas = areas

    connected = True

    def connect(self) -> None:
        """Do nothing: the pool connects by itself."""

    def close(self) -> None:
        """Do nothing: the pool belongs to the service."""

    def register_entity(self, entity: Any) -> None:
        """Do nothing: conductors check in through ``db.conductors``."""

    def wait(self, timeout: float | None = None) -> None:
        """Not offered: the conductor polls."""
        raise NotImplementedError

    @property
    def job_count(self) -> int:
        """Jobs that are not finished."""
        with self._db.reader() as session:
            return jobs.count(session)

    def post(self, *args: Any, **kwargs: Any) -> None:
        """Not offered: a job is posted with its task, by ``db.jobs.post``."""
        raise NotImplementedError

    def iterjobs(
        self, only_unclaimed: bool = False, ensure_fresh: bool = False
    ) -> Iterator[SQLJob]:
        """Return the jobs that can be claimed now, the oldest first."""
        with self._db.reader() as session:
            rows = jobs.list_claimable(session, self._areas)
        return iter([SQLJob(self, row) for row in rows])

    def find_owner(self, job: SQLJob) -> str | None:
        """Return who holds the job."""
        with self._db.reader() as session:
            return jobs.find_owner(session, job.uuid)

    def claim(self, job: SQLJob, who: str) -> None:
        """Take the job.

        :raises UnclaimableJob: another was quicker.
        """
        lease = Lease(job.uuid, job.gen + 1, self._lease_seconds)
        lease_ms = int(self._lease_seconds * 1000)
        taken = self._db.transact(
            lambda session: jobs.claim(session, job.uuid, job.gen, who, lease_ms)
        )
        if not taken:
            raise taskflow_exceptions.UnclaimableJob(f'Job {job.uuid} is claimed already')
        job.gen, job.lease = lease.gen, lease

    def consume(self, job: SQLJob, who: str) -> None:
        """Remove the finished job.

        :raises NotFound: it is no longer ours.
        """
        self._change(jobs.delete, job)

    def abandon(self, job: SQLJob, who: str) -> None:
        """Give the job back, to be claimed by anyone at once.

        :raises NotFound: it is no longer ours.
        """
        self._change(jobs.release, job)

    def trash(self, job: SQLJob, who: str) -> None:
        """Give the job back: none is lost for a fault; attempts are counted by the task."""
        self.abandon(job, who)

    def _change(self, change: Any, job: SQLJob) -> None:
        done = self._db.transact(lambda session: change(session, job.uuid, job.gen))
        if not done:
            raise taskflow_exceptions.NotFound(f'Job {job.uuid} is no longer ours')
