# SPDX-License-Identifier: Apache-2.0
"""A TaskFlow job board in the service's own database.

Claims are leases with a fencing token, decided by one conditional UPDATE and timed by the
database's clock. Jobs come in the order in which they were posted. Only unclaimed or expired jobs
are listed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from oslo_log import log
from taskflow import exceptions as taskflow_exceptions
from taskflow import states
from taskflow.jobs import base

from glance_lite.db import jobs, tasks
from glance_lite.db.engine import Database, Session, is_outage
from glance_lite.jobs.lease import Lease

LOG = log.getLogger(__name__)

#: Seconds without a look at the board after one that failed.
OUTAGE_SECONDS = 1.0


@functools.total_ordering
class SQLJob(base.Job):
    """One row of the board. ``lease`` is set by a successful claim."""

    def __init__(self, board: SQLJobBoard, row: jobs.JobRow) -> None:
        super().__init__(board, row.name, uuid=row.uuid, details=row.details)
        self.gen = row.gen
        self.created_ms = row.created_ms
        self.lease: Lease | None = None
        #: What the board's ``on_claim`` returned.
        self.claimed: Any = None
        #: Milliseconds after which an abandoned job may be claimed again.
        self.retry_after_ms = 0
        #: Whether it is claimed to be ended at once, whatever its project runs.
        self.is_for_its_end = False
        #: Whether its row is gone already, with what the import wrote last.
        self.is_gone = False

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

    def __init__(
        self,
        name: str,
        db: Database,
        lease_seconds: float,
        areas: list[str],
        most_of_project: Callable[[], int] = lambda: 0,
    ) -> None:
        """Look at ``db``, for jobs whose staged bytes, if any, lie in one of ``areas``.

        :param most_of_project: tells how many jobs of one may run at once; 0 for no limit.
        """
        super().__init__(name, {})
        self._db = db
        self._lease_seconds = lease_seconds
        self._areas = areas
        self._most_of_project = most_of_project
        #: What is done in the transaction of a claim, with the job's id; see ``SQLJob.claimed``.
        self._look_again_at = 0.0
        self.on_claim: Callable[[Session, str], Any] | None = None

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
        """Return the jobs that can be claimed now, the oldest first. In trouble: none."""
        if time.monotonic() < self._look_again_at:
            return iter(())
        try:
            with self._db.reader() as session:
                rows = jobs.list_claimable(session, self._areas, self._most_of_project())
        except Exception as error:
            if not is_outage(error):
                raise
            LOG.warning('The job board cannot be read at present: %s', error)
            self._look_again_at = time.monotonic() + OUTAGE_SECONDS
            return iter(())
        return iter([SQLJob(self, row) for row in rows])

    def find_owner(self, job: SQLJob) -> str | None:
        """Return who holds the job."""
        with self._db.reader() as session:
            return jobs.find_owner(session, job.uuid)

    def claim(self, job: SQLJob, who: str) -> None:
        """Take the job.

        :raises UnclaimableJob: another was quicker, or its project has enough.
        """
        lease = Lease(job.uuid, job.gen + 1, self._lease_seconds)

        def work(session: Session) -> tuple[bool, Any]:
            if not jobs.lock_free(session, job.uuid, job.gen):
                return False, None
            limit = 0 if job.is_for_its_end else self._most_of_project()
            if limit and not jobs.may_run_more(session, job.uuid, limit):
                return False, None
            if not jobs.claim(session, job.uuid, job.gen, who, self._lease_ms):
                return False, None
            return True, self.on_claim and self.on_claim(session, job.uuid)

        try:
            taken, claimed = self._db.transact(work)
        except Exception as error:
            if not is_outage(error):
                raise
            LOG.warning('Job %s was not claimed: %s', job.uuid, error)
            taken = False
        if not taken:
            raise taskflow_exceptions.UnclaimableJob(f'Job {job.uuid} is claimed already')
        job.gen, job.lease, job.claimed = lease.gen, lease, claimed

    def take_over(self, job_uuid: str, gen: int) -> SQLJob | None:
        """Take a job of this conductor from what runs it now; None if it is not ours any more."""

        def work(session: Session) -> tuple[jobs.JobRow | None, Any]:
            if not jobs.reclaim(session, job_uuid, gen, self._lease_ms):
                return None, None
            return jobs.get(session, job_uuid), self.on_claim and self.on_claim(session, job_uuid)

        lease = Lease(job_uuid, gen + 1, self._lease_seconds)
        row, claimed = self._db.transact(work)
        if row is None:
            return None
        job = SQLJob(self, row)
        job.lease, job.claimed = lease, claimed
        return job

    def consume(self, job: SQLJob, who: str) -> None:
        """Remove the finished job.

        :raises NotFound: it is no longer ours.
        """
        if not job.is_gone:
            self._change(jobs.delete, job)

    def abandon(self, job: SQLJob, who: str) -> None:
        """Give the job back in order, without counting the attempt.

        :raises NotFound: it is no longer ours.
        """

        def give_back(session: Session, uuid: str, gen: int) -> bool:
            if not jobs.release(session, uuid, gen, job.retry_after_ms):
                return False
            tasks.uncount_attempt(session, uuid)
            return True

        self._change(give_back, job)

    def trash(self, job: SQLJob, who: str) -> None:
        """Give the job back after a fault: none is lost for it, but its attempts are counted.

        :raises NotFound: it is no longer ours.
        """
        self._change(jobs.release, job)

    @property
    def _lease_ms(self) -> int:
        return int(self._lease_seconds * 1000)

    def _change(self, change: Any, job: SQLJob) -> None:
        done = self._db.transact(lambda session: change(session, job.uuid, job.gen))
        if not done:
            raise taskflow_exceptions.NotFound(f'Job {job.uuid} is no longer ours')
