# SPDX-License-Identifier: Apache-2.0
"""``measure-data``: know the hashes and the format of exactly the bytes that will be stored.

A file that no plugin touched was measured while it came, and is not read again.
"""

from __future__ import annotations

import os
from typing import Any

from glance_lite import image_data
from glance_lite.db.engine import Database
from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step, path_in
from glance_lite.inspection import Finding, FormatRules
from glance_lite.stores.staging import StagingArea


class MeasureData(Step):
    """Provide ``image_facts`` and ``data_path``. Changes nothing."""

    default_provides = ('image_facts', 'data_path')

    def __init__(
        self,
        run: ImportRun,
        db: Database,
        staging: StagingArea,
        rules: FormatRules,
        allowance: Allowance,
    ) -> None:
        super().__init__('measure-data', run)
        self._db, self._staging = db, staging
        self._rules, self._allowance = rules, allowance

    def execute(
        self, file_path: str, staged_path_0: str, staged_facts: dict[str, Any]
    ) -> tuple[dict[str, Any], str]:
        """Return the facts of the file to be stored, and its path.

        :raises ImportFailed: a plugin left bytes that are unsafe or of another format, or the
            project has no room for so many.
        """
        path = path_in(self._staging, file_path)
        size = os.stat(path).st_size
        self.run.bytes_total = size
        self._allowance.require(size, len(self.run.task.plan['stores']))
        if file_path == staged_path_0 and not self._changed(path, size, staged_facts):
            self.run.bytes_done = size
            if self.run.task.plan['plugins']:
                self._judge(staged_facts)
            return staged_facts, path
        return self._measure(path, staged_facts['os_hash_algo']).to_record(), path

    def _judge(self, facts: dict[str, Any]) -> None:
        """Judge what no plugin replaced: one may describe it anew, or was to unpack it."""
        with self._db.reader() as session:
            image = self.run.subject.read_bare(session)
        found = Finding(**facts['finding'])
        self._rules.check(found, image.disk_format, image.container_format)

    def _changed(self, path: str, size: int, facts: dict[str, Any]) -> bool:
        """Tell whether a plugin wrote into the staged file itself."""
        return (size, os.stat(path).st_mtime_ns) != (facts['size'], facts['mtime_ns'])

    def _measure(self, path: str, hash_algo: str) -> image_data.Facts:
        with self._db.reader() as session:
            image = self.run.subject.read_bare(session)
        with open(path, 'rb', buffering=0) as source:
            return image_data.transfer(
                source,
                lambda piece: None,
                hash_algo=hash_algo,
                inspector=self._rules.inspector(image.disk_format, image.container_format),
                advance=self.run.advance,
            )
