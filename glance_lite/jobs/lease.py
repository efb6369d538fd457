# SPDX-License-Identifier: Apache-2.0
"""The right to run a job: for how long, and how each write proves that it still holds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from glance_lite import exceptions
from glance_lite.db import jobs
from glance_lite.db.engine import Session


class Lease:
    """A claim on a job with its fencing token ``gen``. Thread safe.

    :meth:`check` is cheap and local, and waits where it cannot know: when this process stood still
    or the database was away for longer than the lease, the next renewal tells whether another has
    the job. :meth:`guard` is decided by the database.
    """

    def __init__(self, job_uuid: str, gen: int, seconds: float) -> None:
        self.job_uuid = job_uuid
        self.gen = gen
        self.seconds = seconds
        self._until = time.monotonic() + seconds
        self._lost = False
        self._is_renewed = False
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def renewing(self) -> Iterator[None]:
        """Somebody calls :meth:`renewed` or :meth:`lose` now and then while the block runs."""
        self._is_renewed = True
        try:
            yield
        finally:
            self._is_renewed = False

    def renewed(self, asked_at: float) -> None:
        """Count the lease from ``asked_at`` (``time.monotonic()`` before the renewal was sent)."""
        with self._changed:
            self._until = asked_at + self.seconds
            self._changed.notify_all()

    def lose(self) -> None:
        """Note that another conductor has, or is to have, the job."""
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    @property
    def held(self) -> bool:
        """Whether this process may still act for the job, as far as it knows."""
        return not self._lost and time.monotonic() < self._until

    def check(self) -> None:
        """Return if the lease is held; if it ran out, wait until that is known.

        :raises LeaseLost: it is not.
        """
        if self.held:
            return
        with self._changed:
            while not self._lost and time.monotonic() >= self._until:
                if not self._is_renewed:
                    self._lost = True
                self._changed.wait(1.0 if self._is_renewed else 0)
            if self._lost:
                raise self._error()

    def guard(self, session: Session) -> None:
        """Lock the job for the rest of the transaction.

        :raises LeaseLost: another has it.
        """
        if self._lost or not jobs.fence(session, self.job_uuid, self.gen):
            self.lose()
            raise self._error()

    def end(self, session: Session) -> None:
        """Remove the job, with what is written in the same transaction as its last word.

        :raises LeaseLost: another has it.
        """
        if self._lost or not jobs.delete(session, self.job_uuid, self.gen):
            self.lose()
            raise self._error()

    def is_over(self, session: Session) -> bool:
        """Tell whether the job is gone: :meth:`end` was committed."""
        return jobs.get(session, self.job_uuid) is None

    def _error(self) -> exceptions.LeaseLost:
        return exceptions.LeaseLost(f'job {self.job_uuid}, gen {self.gen}')
