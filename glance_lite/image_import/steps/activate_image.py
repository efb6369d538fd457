# SPDX-License-Identifier: Apache-2.0
"""``activate-image``: the point of no return. Hashes, places and status appear at once.

An attempt that begins after it finds the image active and only clears up (``conductor.outcome``).
"""

from __future__ import annotations

from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.db import images
from glance_lite.db.engine import Database, Session, is_outage
from glance_lite.domain import image as domain
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores.registry import StoreRegistry

LOG = log.getLogger(__name__)


class ActivateImage(Step):
    """Make the image active. Not undone: steps after it never raise."""

    def __init__(self, run: ImportRun, db: Database, stores: StoreRegistry, copies: int) -> None:
        """Expect ``copies`` results of ``copy-to-store``."""
        super().__init__(
            'activate-image', run, requires=[f'copy_{number}' for number in range(copies)]
        )
        self._db, self._stores = db, stores

    def execute(self, image_facts: dict[str, Any], **copies: dict[str, Any]) -> None:
        """Publish the copies that succeeded.

        :raises ImportFailed: none succeeded, or one is not there any more.
        :raises ImportCancelled: the image was deleted meanwhile.
        """
        ordered = [copies[name] for name in sorted(copies, key=lambda name: int(name[5:]))]
        good = [copy for copy in ordered if not copy['error']]
        if not good:
            raise exceptions.ImportFailed(
                ordered[0]['code'], f"No store took the data: {ordered[0]['error']}"
            )
        for copy in good:
            self._require_whole(copy, image_facts['size'])
        self._publish(image_facts, good, [copy['store'] for copy in ordered if copy['error']])

    def _require_whole(self, copy: dict[str, Any], size: int) -> None:
        # after a crash the copy is that of an earlier attempt: trust it only if it is there
        try:
            whole = self._stores.get(copy['store']).size(copy['url']) == size
        except exceptions.StoreError:
            whole = False
        if not whole:
            raise exceptions.ImportFailed(
                'store_failed', f"The store '{copy['store']}' lost the data before it was used."
            )

    def _publish(
        self, facts: dict[str, Any], good: list[dict[str, Any]], failed: list[str]
    ) -> None:
        image_id, task_id = self.run.image_id, self.run.task.task_id
        columns = {
            name: facts[name] for name in ('size', 'checksum', 'os_hash_algo', 'os_hash_value')
        } | {'virtual_size': facts['finding']['virtual_size']}

        def work(session: Session) -> None:
            self.run.guard(session)
            if not images.update(
                session,
                image_id,
                from_status=domain.IMPORTING,
                held_by=task_id,
                status=domain.ACTIVE,
                **columns,
            ):
                raise exceptions.ImportCancelled('The image is no longer held by this import.')
            images.set_locations(
                session,
                image_id,
                [domain.Location(copy['store'], copy['url'], copy['metadata']) for copy in good],
            )
            images.set_properties(
                session,
                image_id,
                {
                    domain.IMPORTING_TO_STORES: None,
                    domain.FAILED_IMPORT: ','.join(failed) if failed else None,
                    domain.IMPORT_ERROR: None,
                },
            )

        try:
            self._db.transact(work)
        except exceptions.GlanceLiteError:
            raise
        except Exception as error:
            if not is_outage(error):
                raise
            # the commit may have been done or not: undo nothing, the next attempt looks
            LOG.warning('Import %s: is the image published? %s', task_id, error)
            raise exceptions.AttemptInterrupted(f'task {task_id}') from error
