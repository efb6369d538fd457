# SPDX-License-Identifier: Apache-2.0
"""The janitor of a conductor: end what nobody will end otherwise, and clear what is left over.

Safe with many hosts: each decision is a compare-and-set in the database, and files are removed
only from the staging area that this host sees, when no record needs them.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from oslo_log import log

from glance_lite.db import conductors, images, staged, tasks, uploads
from glance_lite.domain import image as domain
from glance_lite.receiving import LOST_SECONDS
from glance_lite.services import Services

LOG = log.getLogger(__name__)

#: Seconds between two rounds.
ROUND_SECONDS = 5.0
#: Seconds that a file without a record may be on its way to get one.
GRACE_SECONDS = 60.0
#: Seconds without a sign of life after which a conductor's record goes.
FORGET_SECONDS = 600.0


class Janitor:
    """Goes round once in a while, in a thread of its own."""

    def __init__(self, services: Services, more: Sequence[Callable[[], None]] = ()) -> None:
        """Look after ``services``; ``more`` are duties of the conductor itself."""
        self._services = services
        self._more = more
        self._db = services.db
        self._stop = threading.Event()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Go round while the block runs."""
        thread = threading.Thread(target=self._loop, name='janitor', daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(ROUND_SECONDS)

    def go_round(self) -> None:
        """Do every duty once; trouble in one keeps none of the others."""
        for duty in (
            self.give_up_silent_uploads,
            self.expire_staged_data,
            self.remove_stray_files,
            self.forget_old_records,
            *self._more,
        ):
            if self._stop.is_set():
                return
            try:
                duty()
            except Exception as error:
                LOG.warning('The janitor could not %s: %s', duty.__name__.replace('_', ' '), error)

    def give_up_silent_uploads(self) -> None:
        """Return images to ``queued`` whose upload died with its process."""
        with self._db.reader() as session:
            silent = uploads.list_silent(session, int(LOST_SECONDS * 1000))
        for image_id, token in silent:
            with self._db.writer() as session:
                if not uploads.end(session, image_id, token):
                    continue  # it ended by itself meanwhile
                given_up = images.update(
                    session,
                    image_id,
                    from_status=(domain.SAVING, domain.UPLOADING),
                    status=domain.QUEUED,
                    **images.NO_DATA,
                )
            if given_up:
                LOG.warning('Image %s: its upload was lost with its process', image_id)
                self._remove_bytes(image_id)

    def expire_staged_data(self) -> None:
        """Return images to ``queued`` whose staged data waited too long for an import."""
        time_to_live = self._services.conf['import'].staged_ttl
        with self._db.reader() as session:
            old = staged.list_older(session, time_to_live)
        for image_id in old:
            with self._db.writer() as session:
                if not images.update(
                    session,
                    image_id,
                    from_status=domain.UPLOADING,
                    status=domain.QUEUED,
                    **images.NO_DATA,
                ):
                    continue  # an import has it
                staged.delete(session, image_id)
            LOG.info('Image %s: its staged data expired', image_id)
            self._services.staging.remove_all(image_id)

    def remove_stray_files(self) -> None:
        """Remove files of the staging area that no upload, import or staged data needs."""
        staging = self._services.staging
        by_image: dict[str, list[str]] = {}
        for name in staging.list_files():
            if self._age(staging.path(name)) > GRACE_SECONDS:
                by_image.setdefault(name.split('.')[0], []).append(name)
        for image_id, names in by_image.items():
            needed = self._needed(image_id)
            for name in names:
                if needed is not None and name not in needed:
                    LOG.info('Removing %s from staging: nothing needs it', name)
                    staging.remove(name)

    def forget_old_records(self) -> None:
        """Remove expired tasks, and conductors that are long gone."""
        with self._db.writer() as session:
            tasks.delete_expired(session)
            conductors.forget(session, int(FORGET_SECONDS * 1000))

    def _needed(self, image_id: str) -> set[str] | None:
        """Return the staged files that an image needs; None if it may need any of them."""
        with self._db.reader() as session:
            if uploads.is_live(session, image_id) or tasks.is_running_for(session, image_id):
                return None
            found = staged.get(session, image_id)
        return set() if found is None else {found.file_name}

    def _remove_bytes(self, image_id: str) -> None:
        self._services.staging.remove_all(image_id)
        for store in self._services.stores:
            if not store.read_only:
                store.discard_attempts(image_id)

    @staticmethod
    def _age(path: str) -> float:
        try:
            return time.time() - os.stat(path).st_ctime
        except FileNotFoundError:
            return 0

    def _loop(self) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            self.go_round()
