# SPDX-License-Identifier: Apache-2.0
"""What the steps share that make copies in stores visible, and that remove those of an attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oslo_log import log

from glance_lite import exceptions, removing
from glance_lite.db import ownership
from glance_lite.db.engine import Database, Session, is_outage
from glance_lite.domain import image as domain
from glance_lite.image_import.run import ImportRun
from glance_lite.stores.base import Store
from glance_lite.stores.registry import StoreRegistry

LOG = log.getLogger(__name__)


class Copies:
    """The results of ``copy-to-store``, in the order of the stores."""

    def __init__(self, results: dict[str, dict[str, Any]]) -> None:
        self.ordered = [results[name] for name in sorted(results, key=lambda name: int(name[5:]))]
        self._good = [copy for copy in self.ordered if not copy['error']]

    @staticmethod
    def names(count: int) -> list[str]:
        """Return the arguments by which a step gets ``count`` results."""
        return [f'copy_{number}' for number in range(count)]

    @property
    def locations(self) -> list[domain.Location]:
        """Where the copies rest that succeeded."""
        return [
            domain.Location(copy['store'], copy['url'], copy['metadata']) for copy in self._good
        ]

    @property
    def failed_stores(self) -> str | None:
        """Ids of the stores that failed, with commas; None if none did."""
        return ','.join(copy['store'] for copy in self.ordered if copy['error']) or None

    def require_whole(self, stores: StoreRegistry, size: int) -> None:
        """Raise unless a copy succeeded, and all that did are there still.

        After a crash they are those of an earlier attempt: trust them only if they are there.

        :raises ImportFailed: none succeeded, or one is not there any more.
        """
        if not self._good:
            first = self.ordered[0]
            raise exceptions.ImportFailed(
                first['code'], f"No store took the data: {first['error']}"
            )
        for copy in self._good:
            try:
                whole = stores.get(copy['store']).size(copy['url']) == size
            except exceptions.StoreError:
                whole = False
            if not whole:
                raise exceptions.ImportFailed(
                    'store_failed', f"The store '{copy['store']}' lost the data before it was used."
                )


def publish(db: Database, run: ImportRun, work: Callable[[Session], None]) -> None:
    """Do the transaction that cannot be taken back.

    :raises AttemptInterrupted: nobody knows whether it was committed; the next attempt looks.
    """

    def guarded(session: Session) -> None:
        run.guard(session)
        work(session)

    try:
        db.transact(guarded)
    except exceptions.GlanceLiteError:
        raise
    except Exception as error:
        if not is_outage(error):
            raise
        LOG.warning('Import %s: is the image published? %s', run.task.task_id, error)
        raise exceptions.AttemptInterrupted(f'task {run.task.task_id}') from error


def discard_attempts(db: Database, stores: StoreRegistry, run: ImportRun, store: Store) -> None:
    """Remove whatever this or an earlier attempt left in a store.

    An image that is importing has nothing in any store that could be meant instead. An active one
    has: its places may even lie in this store, under an id that the store had before.

    :raises StoreError: the store cannot be reached.
    """
    if not run.keeps_status:
        store.discard_attempts(run.image_id, confirm=run.lease.check)
        return

    def places() -> set[tuple[str, str]]:
        with db.reader() as session:
            return ownership.of(session, run.image_id).places

    removing.discard_attempts(store, stores, run.image_id, places, run.lease.check)
