# SPDX-License-Identifier: Apache-2.0
"""``delete-staged``: leave nothing in the staging area; the record goes with the next step."""

from __future__ import annotations

from oslo_log import log

from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores.staging import StagingArea

LOG = log.getLogger(__name__)


class DeleteStaged(Step):
    """Remove the staged files. Never raises: the image is active already."""

    def __init__(self, run: ImportRun, staging: StagingArea) -> None:
        super().__init__('delete-staged', run)
        self._staging = staging

    def pre_execute(self) -> None:
        """Go on even when cancelled: too late."""
        self.run.lease.check()

    def execute(self) -> None:
        """Remove them; trouble is logged."""
        try:
            self._staging.remove_all(self.run.image_id, self.run.lease.check)
        except Exception:
            LOG.exception('Import %s: staged data was left', self.run.task.task_id)
