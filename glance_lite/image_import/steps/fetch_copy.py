# SPDX-License-Identifier: Apache-2.0
"""``fetch-copy``: bring the data of an active image from a store into the staging area.

What was published is compared with what comes: a copy that was damaged in its store is not spread,
and another store may have a good one.
"""

from __future__ import annotations

import os
from typing import Any

from oslo_log import log

from glance_lite import exceptions, image_data
from glance_lite.db import images
from glance_lite.db.engine import Database
from glance_lite.domain import image as domain
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores import files
from glance_lite.stores.base import StoreReader
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import StagingArea

LOG = log.getLogger(__name__)


class FetchCopy(Step):
    """Provide ``image_facts`` and ``data_path``; undone by removing the file."""

    default_provides = ('image_facts', 'data_path')

    def __init__(
        self,
        run: ImportRun,
        db: Database,
        stores: StoreRegistry,
        staging: StagingArea,
        hash_algo: str,
    ) -> None:
        """Compare by ``hash_algo`` where the image has no hash of its own."""
        super().__init__('fetch-copy', run)
        self._db, self._stores, self._staging = db, stores, staging
        self._hash_algo = hash_algo
        self._file_name = f'{run.image_id}.{run.attempt}'

    def execute(self) -> tuple[dict[str, Any], str]:
        """Return the facts of the fetched file, and its path.

        :raises ImportFailed: ``store_failed``, no store gives the data as it was published.
        """
        self._clear()  # what an attempt before this one left
        with self._db.reader() as session:
            image = images.get(session, self.run.image_id)
        for place in self._stores.by_weight(image.locations, [self._stores.default_id]):
            try:
                facts = self._fetch(image, place)
            except (_Unusable, exceptions.StoreNotFound) as error:
                LOG.warning(
                    'Import %s: nothing is copied from store %s: %s',
                    self.run.task.task_id,
                    place.store,
                    error.message,
                )
                continue
            return facts.to_record(), self._staging.path(self._file_name)
        raise exceptions.ImportFailed(
            'store_failed', 'No store gives the data of the image as it was published.'
        )

    def revert(self, result: Any, **kwargs: Any) -> None:
        """Remove whatever was fetched."""
        self._clear()

    def _clear(self) -> None:
        self._staging.remove_all(self.run.image_id, self.run.lease.check)

    def _fetch(self, image: domain.Image, place: domain.Location) -> image_data.Facts:
        source = _Reading(self._stores.get(place.store), place.url)
        fd = self._staging.create(self._file_name)
        self.run.bytes_done, self.run.bytes_total = 0, image.size or source.length
        try:
            facts = image_data.transfer(
                source,
                lambda piece: files.write_all(fd, piece),
                hash_algo=image.os_hash_algo or self._hash_algo,
                advance=self.run.advance,
            )
            _require_same(image, facts)
            return facts
        except BaseException:
            self._staging.remove(self._file_name)
            raise
        finally:
            os.close(fd)
            source.close()


class _Unusable(exceptions.GlanceLiteError):
    """A store does not give the data that was published; another may."""


class _Reading:
    """Stored data as a source whose failures can be told from those of the staging area."""

    def __init__(self, store: Any, url: str) -> None:
        try:
            self._reader: StoreReader = store.open_reader(url)
        except exceptions.StoreError as error:
            raise _Unusable(error.message) from error
        self.length = self._reader.length
        self.close = self._reader.close

    def readinto(self, buffer: memoryview) -> int:
        try:
            return self._reader.readinto(buffer)
        except (exceptions.StoreError, OSError) as error:
            raise _Unusable(str(error)) from error


def _require_same(image: domain.Image, facts: image_data.Facts) -> None:
    """Raise unless what was fetched is what the image says of itself."""
    known = [(image.size, facts.size), (image.checksum, facts.checksum)]
    known.append((image.os_hash_value, facts.os_hash_value))
    if any(said not in (None, found) for said, found in known):
        raise _Unusable('its data is not what was published')
