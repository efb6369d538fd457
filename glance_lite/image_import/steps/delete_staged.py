# SPDX-License-Identifier: Apache-2.0
"""``delete-staged``: leave nothing in the staging area."""

from __future__ import annotations

from oslo_log import log

from glance_lite.db import staged
from glance_lite.db.engine import Database
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores.staging import StagingArea

LOG = log.getLogger(__name__)


class DeleteStaged(Step):
    """Remove the staged files and their record. Never raises: the image is active already."""

    def __init__(self, run: ImportRun, db: Database, staging: StagingArea) -> None:
        super().__init__('delete-staged', run)
        self._db, self._staging = db, staging

    def pre_execute(self) -> None:
        """Go on even when cancelled: too late."""
        self.run.lease.check()

    def execute(self) -> None:
        """Remove them; trouble is logged."""
        try:
            self._staging.remove_all(self.run.image_id)
            with self._db.writer() as session:
                self.run.guard(session)
                staged.delete(session, self.run.image_id)
        except Exception:
            LOG.exception('Import %s: staged data was left', self.run.task.task_id)
