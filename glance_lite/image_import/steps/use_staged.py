# SPDX-License-Identifier: Apache-2.0
"""``use-staged``: find the bytes that were uploaded to the staging area before."""

from __future__ import annotations

import os
from typing import Any

from glance_lite import exceptions
from glance_lite.db import staged
from glance_lite.db.engine import Database
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step, path_of, uri_of
from glance_lite.stores import files
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
        info = self._require_unchanged(path, found)
        self.run.bytes_total = info.st_size
        uri = uri_of(self._lend(path, found))
        self.run.bytes_done = info.st_size
        self.run.data_path = path_of(uri)
        return uri, uri, found.facts

    def _lend(self, path: str, found: staged.Staged) -> str:
        """Give the flow a second name of the file: a plugin that removes or replaces what it was
        given, as those of the field do, leaves the data for another try.

        It is a copy where a plugin had the file before: one that stands still, in an attempt that
        is over, may write into it later.
        """
        lent = self._staging.path(f'{found.file_name}.{self.run.attempt}.lent')
        had_before = self.run.lease.gen > 1 or found.facts.get('was_lent')
        if self.run.task.plan['plugins'] and had_before:
            files.copy(path, lent, self.run.advance)
            os.utime(lent, ns=(found.facts['mtime_ns'],) * 2)
            self._require_unchanged(path, found)
            return lent
        try:
            os.link(path, lent, follow_symlinks=False)
        except FileExistsError:
            return lent
        except OSError:  # a file system without links
            return path
        return lent

    @staticmethod
    def _require_unchanged(path: str, found: staged.Staged) -> os.stat_result:
        try:
            info = os.stat(path, follow_symlinks=False)
        except OSError:
            raise _unreachable() from None
        if (info.st_size, info.st_mtime_ns) != (found.facts['size'], found.facts['mtime_ns']):
            raise _unreachable()
        return info


def _unreachable() -> exceptions.ImportFailed:
    return exceptions.ImportFailed(
        'staging_unreachable', 'The staged data is not there any more; stage it again.'
    )
