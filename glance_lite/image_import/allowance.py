# SPDX-License-Identifier: Apache-2.0
"""What an import may still store and stage of what its project may have.

The limits are those of the moment when the import was asked for: conductors ask nobody. What is
used of them is looked up each time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from glance_lite import exceptions, quotas
from glance_lite.db.engine import Database
from glance_lite.domain.quota import Budget, Limits
from glance_lite.image_import.run import ImportRun


class Allowance:
    """The limits of one import."""

    def __init__(self, db: Database, run: ImportRun) -> None:
        self._db, self._run = db, run
        self.limits = Limits.from_record(run.task.plan.get('limits'))

    def to_stage(self, copies: int) -> Budget:
        """Return the room for data that is staged now, and stored in so many copies later.

        :raises ImportCancelled: the image was deleted.
        """
        return self._budget(copies, True)

    def require(self, size: int, copies: int = 1) -> None:
        """Raise unless so many copies of so many bytes may be stored.

        :raises ImportFailed: ``quota_exceeded``.
        :raises ImportCancelled: the image was deleted.
        """
        with as_failures():
            self._budget(copies, False).require(size)

    def _budget(self, copies: int, staged: bool) -> Budget:
        limits = self.limits
        if limits.stored is None and limits.staged is None:
            return Budget([])
        with self._db.reader() as session:
            try:
                owner = self._run.subject.read_bare(session).owner
            except exceptions.ImageNotFound:
                raise exceptions.ImportCancelled('The image was deleted.') from None
            rooms = quotas.room_to_store(session, limits, owner, copies)
            if staged:
                rooms += quotas.room_to_stage(session, limits, owner)
        return Budget(rooms)


@contextlib.contextmanager
def as_failures() -> Iterator[None]:
    """Turn an exceeded limit into the failure of the import."""
    try:
        yield
    except exceptions.LimitExceeded as error:
        raise exceptions.ImportFailed('quota_exceeded', error.message) from error
