# SPDX-License-Identifier: Apache-2.0
"""``add-locations``: the point of no return of a copy. All new places appear at once."""

from __future__ import annotations

from typing import Any

from glance_lite import exceptions
from glance_lite.db import images
from glance_lite.db.engine import Database, Session
from glance_lite.domain import image as domain
from glance_lite.image_import import publishing
from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.publishing import Copies
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores.registry import StoreRegistry


class AddLocations(Step):
    """Give an active image its new places. Not undone: steps after it never raise."""

    def __init__(
        self,
        run: ImportRun,
        db: Database,
        stores: StoreRegistry,
        copies: int,
        allowance: Allowance,
    ) -> None:
        """Expect ``copies`` results of ``copy-to-store``."""
        super().__init__('add-locations', run, requires=Copies.names(copies))
        self._db, self._stores = db, stores
        self._allowance = allowance

    def execute(self, image_facts: dict[str, Any], **copies: dict[str, Any]) -> None:
        """Publish the copies that succeeded.

        :raises ImportFailed: none succeeded, one is not there any more, or others used up the room
            of the image's project.
        :raises ImportCancelled: the image was deleted meanwhile.
        """
        found = Copies(copies)
        found.require_whole(self._stores, image_facts['size'])
        self._allowance.require(image_facts['size'], len(found.locations))

        def work(session: Session) -> None:
            if not images.update(
                session,
                self.run.image_id,
                from_status=domain.HAS_DATA,
                held_by=self.run.task.task_id,
            ):
                raise exceptions.ImportCancelled('The image was deleted.')
            images.add_locations(session, self.run.image_id, found.locations)
            images.set_properties(
                session,
                self.run.image_id,
                {domain.IMPORTING_TO_STORES: None, domain.FAILED_IMPORT: found.failed_stores},
            )

        publishing.publish(self._db, self.run, work)
