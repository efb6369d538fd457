# SPDX-License-Identifier: Apache-2.0
"""``activate-image``: the point of no return. Hashes, places and status appear at once.

An attempt that begins after it finds the image active and only clears up (``conductor.outcome``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glance_lite import exceptions
from glance_lite.db.engine import Database, Session
from glance_lite.image_import import publishing
from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.publishing import Copies
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores.registry import StoreRegistry


class ActivateImage(Step):
    """Make the image active. Not undone: steps after it never raise."""

    def __init__(
        self,
        run: ImportRun,
        db: Database,
        stores: StoreRegistry,
        copies: int,
        allowance: Allowance,
        permit: Callable[[], None],
    ) -> None:
        """Expect ``copies`` results of ``copy-to-store``; ``permit`` as of ``confirm-claim``."""
        super().__init__('activate-image', run, requires=Copies.names(copies))
        self._db, self._stores = db, stores
        self._allowance, self._permit = allowance, permit

    def execute(self, image_facts: dict[str, Any], **copies: dict[str, Any]) -> None:
        """Publish the copies that succeeded.

        :raises ImportFailed: none succeeded, one is not there any more, the image may not be made
            any more, or others used up the room of its project.
        :raises ImportCancelled: the image was deleted meanwhile.
        """
        found = Copies(copies)
        found.require_whole(self._stores, image_facts['size'])
        self._permit()
        self._allowance.require(image_facts['size'], len(found.locations))
        columns = {
            name: image_facts[name]
            for name in ('size', 'checksum', 'os_hash_algo', 'os_hash_value')
        } | {'virtual_size': image_facts['finding']['virtual_size']}

        formats = image_facts['finding']['formats']

        def work(session: Session) -> None:
            subject = self.run.subject
            if not subject.publish(session, columns, found.locations, found.failed_stores, formats):
                raise exceptions.ImportCancelled('The image is no longer held by this import.')

        publishing.publish(self._db, self.run, work)
