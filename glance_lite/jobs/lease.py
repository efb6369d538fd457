# SPDX-License-Identifier: Apache-2.0
"""The right to run a job: for how long, and how each write proves that it still holds."""

from __future__ import annotations

import threading
import time

from glance_lite import exceptions
from glance_lite.db import jobs
from glance_lite.db.engine import Session


class Lease:
    """A claim on a job with its fencing token ``gen``. Thread safe.

    :meth:`check` is cheap and local: it also refuses when this process was stopped for longer
    than the lease, as the monotonic clock went on. :meth:`guard` is decided by the database.
    """

    def __init__(self, job_uuid: str, gen: int, seconds: float) -> None:
        self.job_uuid = job_uuid
        self.gen = gen
        self.seconds = seconds
        self._until = time.monotonic() + seconds
        self._lost = threading.Event()

    def renewed(self, asked_at: float) -> None:
        """Count the lease from ``asked_at`` (``time.monotonic()`` before the renewal was sent)."""
        self._until = asked_at + self.seconds

    def lose(self) -> None:
        """Note that another conductor has, or may have, the job."""
        self._lost.set()

    @property
    def held(self) -> bool:
        """Whether this process may still act for the job, as far as it knows."""
        return not self._lost.is_set() and time.monotonic() < self._until

    def check(self) -> None:
        """Raise :class:`LeaseLost` unless the lease is held."""
        if not self.held:
            self._lost.set()
            raise exceptions.LeaseLost(f'job {self.job_uuid}, gen {self.gen}')

    def guard(self, session: Session) -> None:
        """Lock the job for the rest of the transaction, or raise :class:`LeaseLost`."""
        self.check()
        if not jobs.fence(session, self.job_uuid, self.gen):
            self._lost.set()
            raise exceptions.LeaseLost(f'job {self.job_uuid}, gen {self.gen}')
