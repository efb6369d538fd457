# SPDX-License-Identifier: Apache-2.0
"""The janitor of a conductor: end what nobody will end otherwise, and clear what is left over.

Safe with many hosts: what it does to a thing is in ``litter.py``, whenever and wherever that is.
Here is when it looks. Stores have a thread of their own: one that hangs keeps no upload waiting.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from oslo_log import log

from glance_lite.conductor import litter
from glance_lite.db import conductors, uploads
from glance_lite.receiving import LOST_SECONDS
from glance_lite.services import Services

LOG = log.getLogger(__name__)

#: Seconds between two rounds.
ROUND_SECONDS = 5.0
#: Seconds that a staged file is left alone, as the record of it may reach this database late.
GRACE_SECONDS = 60.0
#: Seconds without a sign of life after which a conductor's record goes.
FORGET_SECONDS = 600.0


class Janitor:
    """Goes round once in a while, in threads of its own."""

    def __init__(self, services: Services, more: Sequence[Callable[[], None]] = ()) -> None:
        """Look after ``services``; ``more`` are duties of the conductor itself."""
        self._services = services
        self._more = more
        self._stop = threading.Event()
        #: Images whose uploads were silent in the last round.
        self._silent: set[str] = set()
        # conductors that start together look at the stores at different times
        self._orphans_at = time.monotonic() + random.random() * self._orphan_interval

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Go round while the block runs."""
        threads = [
            threading.Thread(target=self._loop, args=(work,), name=name, daemon=True)
            for name, work in (('janitor', self.go_round), ('janitor-stores', self.clear_stores))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(ROUND_SECONDS)

    def go_round(self) -> None:
        """Do every duty but those in stores; trouble in one keeps none of the others."""
        self._do(
            self.give_up_silent_uploads,
            self.expire_staged_data,
            self.remove_stray_files,
            self.forget_old_records,
            *self._more,
        )

    def clear_stores(self) -> None:
        """Remove what is noted, and once in a while look for what is not."""
        self._do(self.remove_noted_data)
        interval = self._orphan_interval
        if interval and time.monotonic() >= self._orphans_at:
            self._orphans_at = time.monotonic() + interval
            self._do(self.remove_orphans)

    def give_up_silent_uploads(self) -> None:
        """Return images to ``queued`` whose upload died with its process.

        It is silent in two rounds, and the database took a change in the first: one that was away,
        locked or full took no signs of life either.
        """
        known, self._silent = self._silent, set()
        found = list(litter.silent_uploads(self._services, LOST_SECONDS))
        if found:
            self._services.db.transact(
                lambda session: uploads.suspect(session, int(LOST_SECONDS * 1000))
            )
        self._silent = {item.what for item in found}
        self._clear(item for item in found if item.what in known)

    def expire_staged_data(self) -> None:
        """Return images to ``queued`` whose staged data waited too long for an import."""
        self._clear(litter.expired_staged_data(self._services))

    def remove_stray_files(self) -> None:
        """Remove files of the staging area that no upload, import or staged data needs."""
        unknown_seconds = max(GRACE_SECONDS, self._orphan_grace)
        self._clear(litter.stray_files(self._services, GRACE_SECONDS, unknown_seconds))

    def remove_noted_data(self) -> None:
        """Remove stored data of deleted images, and of attempts, that was not removed yet."""
        self._clear(litter.due_removals(self._services))

    def remove_orphans(self) -> None:
        """Remove stored data that nobody owns and nobody noted."""
        for store in self._services.stores:
            try:
                self._clear(litter.orphans(self._services, store, self._orphan_grace))
            except Exception as error:
                LOG.warning('The janitor could not look at store %s: %s', store.store_id, error)

    def forget_old_records(self) -> None:
        """Remove expired tasks, and conductors that are long gone."""
        self._clear(litter.expired_tasks(self._services))
        self._services.db.transact(
            lambda session: conductors.forget(session, int(FORGET_SECONDS * 1000))
        )

    def _clear(self, found: Iterator[litter.Litter]) -> None:
        """Remove what is found, as long as its place is in order."""
        in_trouble: set[str] = set()  # each try of a store that is away may take long
        for item in found:
            if self._stop.is_set():
                return
            if item.remove is None or item.where in in_trouble:
                continue
            try:
                if item.remove():
                    LOG.info(
                        'Cleared %s %s (%s): %s', item.kind, item.what, item.where, item.reason
                    )
            except Exception as error:
                in_trouble.add(item.where)
                LOG.warning('%s %s (%s) stays: %s', item.kind, item.what, item.where, error)

    def _do(self, *duties: Callable[[], None]) -> None:
        for duty in duties:
            if self._stop.is_set():
                return
            try:
                duty()
            except Exception as error:
                LOG.warning('The janitor could not %s: %s', duty.__name__.replace('_', ' '), error)

    @property
    def _orphan_interval(self) -> int:
        interval: int = self._services.conf['import'].orphan_interval
        return interval

    @property
    def _orphan_grace(self) -> int:
        grace: int = self._services.conf['import'].orphan_grace
        return grace

    def _loop(self, work: Callable[[], None]) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            work()
