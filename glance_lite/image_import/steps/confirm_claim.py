# SPDX-License-Identifier: Apache-2.0
"""``confirm-claim``: see that the image still waits for this very import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.db.engine import Database
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step

LOG = log.getLogger(__name__)

#: What a plugin that gives other data describes anew.
_DESCRIPTION = (
    'disk_format',
    'container_format',
    'size',
    'virtual_size',
    'min_disk',
    'min_ram',
)


class ConfirmClaim(Step):
    """Provide ``image_id``, and how the image is described; undone by describing it so again."""

    default_provides = ('image_id', 'image_before')

    def __init__(
        self, run: ImportRun, db: Database, permit: Callable[[], None] = lambda: None
    ) -> None:
        """Call ``permit`` first, which raises where the image is not to be made."""
        super().__init__('confirm-claim', run)
        self._db = db
        self._permit = permit

    def execute(self) -> tuple[str, dict[str, Any]]:
        """Return the image's id, and its formats and sizes as they are before any plugin.

        :raises ImportCancelled: the image is gone or no longer held by this import.
        :raises ImportFailed: the image may not be made any more.
        """
        self._permit()
        with self._db.reader() as session:
            try:
                image = self.run.subject.read_bare(session)
            except exceptions.ImageNotFound:
                raise exceptions.ImportCancelled('The image was deleted.') from None
        held = image.import_task_id == self.run.task.task_id
        if not held or image.status not in self.run.statuses:
            raise exceptions.ImportCancelled('The image is no longer held by this import.')
        return image.image_id, {name: getattr(image, name) for name in _DESCRIPTION}

    def revert(self, result: Any, **kwargs: Any) -> None:
        """Give the image its formats and sizes back; the data kept is that of before, too."""
        if not isinstance(result, tuple | list) or self.run.keeps_status:
            return
        try:
            with self._db.writer() as session:
                self.run.guard(session)
                self.run.subject.write(session, result[1])
        except Exception as error:
            self.run.give_way(error)
            LOG.exception('Import %s: the image keeps its new formats', self.run.task.task_id)
