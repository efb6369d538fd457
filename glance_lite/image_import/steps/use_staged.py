# SPDX-License-Identifier: Apache-2.0
"""``use-staged``: find the bytes that were uploaded to the staging area before."""

from __future__ import annotations

import os
from typing import Any

from glance_lite import exceptions
from glance_lite.db import staged
from glance_lite.db.engine import Database
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step, uri_of
from glance_lite.stores.staging import StagingArea


class UseStaged(Step):
    """Provide the staged file and its facts. The outcome decides on both names of the file."""

    default_provides = ('file_path', 'staged_path_0', 'staged_facts')

    def __init__(self, run: ImportRun, db: Database, staging: StagingArea) -> None:
        super().__init__('use-staged', run)
        self._db, self._staging = db, staging

    def execute(self) -> tuple[str, str, dict[str, Any]]:
        """Return the file's URI, twice, and the facts measured while it came.

        :raises ImportFailed: ``staging_unreachable``.
        """
        with self._db.reader() as session:
            found = staged.get(session, self.run.image_id)
        if found is None or found.area != self._staging.area_id:
            raise _unreachable()
        path = self._staging.path(found.file_name)
        try:
            info = os.stat(path, follow_symlinks=False)
        except OSError:
            raise _unreachable() from None
        if (info.st_size, info.st_mtime_ns) != (found.facts['size'], found.facts['mtime_ns']):
            raise _unreachable()
        self.run.bytes_done = self.run.bytes_total = info.st_size
        uri = uri_of(self._lend(path, found.file_name))
        return uri, uri, found.facts

    def _lend(self, path: str, file_name: str) -> str:
        """Give the flow a second name of the file: a plugin that removes or replaces what it was
        given, as those of the field do, leaves the data for another try.
        """
        name = f'{file_name}.lent'
        self._staging.remove(name)
        lent = self._staging.path(name)
        try:
            os.link(path, lent, follow_symlinks=False)
        except OSError:  # a file system without links
            return path
        return lent


def _unreachable() -> exceptions.ImportFailed:
    return exceptions.ImportFailed(
        'staging_unreachable', 'The staged data is not there any more; stage it again.'
    )
