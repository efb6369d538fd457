# SPDX-License-Identifier: Apache-2.0
"""``confirm-claim``: see that the image still waits for this very import."""

from __future__ import annotations

from glance_lite import exceptions
from glance_lite.db import images
from glance_lite.db.engine import Database
from glance_lite.domain import image as domain
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step


class ConfirmClaim(Step):
    """Provide ``image_id``. Changes nothing, so there is nothing to undo."""

    default_provides = 'image_id'

    def __init__(self, run: ImportRun, db: Database) -> None:
        super().__init__('confirm-claim', run)
        self._db = db

    def execute(self) -> str:
        """Return the image's id.

        :raises ImportCancelled: the image is gone or no longer held by this import.
        """
        with self._db.reader() as session:
            try:
                image = images.get(session, self.run.image_id)
            except exceptions.ImageNotFound:
                raise exceptions.ImportCancelled('The image was deleted.') from None
        if image.import_task_id != self.run.task.task_id or image.status != domain.IMPORTING:
            raise exceptions.ImportCancelled('The image is no longer held by this import.')
        return image.image_id
