# SPDX-License-Identifier: Apache-2.0
"""``check-locations``: compare what lies in the locations of an active image with what it says."""

from __future__ import annotations

from oslo_log import log

from glance_lite import exceptions, image_data, inspection
from glance_lite.db import images
from glance_lite.db.engine import Database, Session
from glance_lite.domain import image as domain
from glance_lite.image_import import located
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.inspection import FormatRules
from glance_lite.stores.registry import StoreRegistry

LOG = log.getLogger(__name__)


class CheckLocations(Step):
    """Read and measure the data; an image without hashes gets them. Nothing is undone."""

    def __init__(
        self,
        run: ImportRun,
        db: Database,
        stores: StoreRegistry,
        rules: FormatRules,
        hash_algo: str,
        max_bytes: int,
    ) -> None:
        super().__init__('check-locations', run)
        self._db, self._stores, self._rules = db, stores, rules
        self._hash_algo, self._max_bytes = hash_algo, max_bytes

    def execute(self) -> None:
        """Look at one location after another.

        :raises ImportFailed: other data, unsafe, or it cannot be read.
        :raises ImportCancelled: the image was deleted.
        """
        try:
            with self._db.reader() as session:
                image = images.get(session, self.run.image_id)
        except exceptions.ImageNotFound:
            raise exceptions.ImportCancelled('The image was deleted.') from None
        urls = self.run.task.plan['urls']
        places = {place.url: place for place in image.locations}
        for url in urls:
            if url in places:
                self._check(image, places[url])

    def _check(self, image: domain.Image, place: domain.Location) -> None:
        is_new = place.url in self.run.task.plan['unread']
        if is_new and image.os_hash_value is None:
            raise exceptions.ImportFailed(
                'store_failed', 'The image has no hash to compare the data of its location with.'
            )
        try:
            facts = located.measure(
                self.run,
                self._stores.get(place.store),
                image.os_hash_algo or self._hash_algo,
                self._max_bytes,
                place.url,
            )
        except exceptions.ImportFailed as error:
            if is_new or self.run.task.plan['given']:
                raise
            # an image may be without a hash
            LOG.warning('Image %s gets no hash: %s', self.run.image_id, error)
            return
        _require_same(image, facts)
        self._rules.check(facts.finding, image.disk_format, image.container_format)
        if not is_new:
            self._db.transact(lambda session: self._record(session, image, facts))

    def _record(self, session: Session, image: domain.Image, facts: image_data.Facts) -> None:
        self.run.guard(session)
        if not images.update(
            session,
            image.image_id,
            from_status=domain.HAS_DATA,
            held_by=self.run.task.task_id,
            **facts.columns,
        ):
            raise exceptions.ImportCancelled('The image was deleted.')
        undeclared = inspection.undeclared(facts.finding.formats, image.disk_format)
        images.set_properties(session, image.image_id, {domain.CONTENT_FORMAT: undeclared})
        image.os_hash_algo, image.os_hash_value = facts.os_hash_algo, facts.os_hash_value
        image.checksum = facts.checksum


def _require_same(image: domain.Image, facts: image_data.Facts) -> None:
    """Raise unless the data is that of the image, as far as this says what it is.

    :raises ImportFailed: ``checksum_mismatch``.
    """
    for name in ('size', 'checksum', 'os_hash_value'):
        said, found = getattr(image, name), getattr(facts, name)
        if said not in (None, found):
            raise exceptions.ImportFailed(
                'checksum_mismatch', f"The '{name}' of the data is {found}, not that of the image."
            )
