# SPDX-License-Identifier: Apache-2.0
"""``activate-located``: the point of no return of a location. Place and status appear at once."""

from __future__ import annotations

from typing import Any

from glance_lite import exceptions, inspection
from glance_lite.db import images
from glance_lite.db.engine import Database, Session
from glance_lite.domain import image as domain
from glance_lite.image_import import publishing
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step


class ActivateLocated(Step):
    """Make the image active. Not undone: steps after it never raise."""

    def __init__(self, run: ImportRun, db: Database, is_measured: bool) -> None:
        """Expect ``image_facts`` if the data was read already."""
        super().__init__('activate-located', run, requires=['image_facts'] if is_measured else [])
        self._db = db

    def execute(self, found_size: int, **measured: dict[str, Any]) -> None:
        """Publish the location.

        :raises ImportCancelled: the image was deleted meanwhile.
        """
        plan = self.run.task.plan
        columns: dict[str, Any] = {'size': found_size, **(plan['validation'] or {})}
        if measured:
            facts = measured['image_facts']
            columns |= {name: facts[name] for name in ('checksum', 'os_hash_algo', 'os_hash_value')}
            columns['virtual_size'] = facts['finding']['virtual_size']

        def work(session: Session) -> None:
            if not images.update(
                session,
                self.run.image_id,
                from_status=domain.IMPORTING,
                held_by=self.run.task.task_id,
                status=domain.ACTIVE,
                **columns,
            ):
                raise exceptions.ImportCancelled('The image is no longer held by this task.')
            location = domain.Location(plan['store'], plan['uri'])
            images.set_locations(session, self.run.image_id, [location])
            if measured:
                disk_format = images.get_bare(session, self.run.image_id).disk_format
                undeclared = inspection.undeclared(facts['finding']['formats'], disk_format)
                images.set_properties(
                    session, self.run.image_id, {domain.CONTENT_FORMAT: undeclared}
                )

        publishing.publish(self._db, self.run, work)
