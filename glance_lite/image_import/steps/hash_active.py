# SPDX-License-Identifier: Apache-2.0
"""``hash-active``: give an image that is active already the hashes of its data."""

from __future__ import annotations

from glance_lite.db.engine import Database
from glance_lite.image_import import located
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.inspection import FormatRules
from glance_lite.stores.base import Store


class HashActive(Step):
    """Read and measure the data. Never raises: an image may be without a hash."""

    def __init__(
        self,
        run: ImportRun,
        db: Database,
        store: Store,
        rules: FormatRules,
        hash_algo: str,
        max_bytes: int,
    ) -> None:
        super().__init__('hash-active', run)
        self._db, self._store, self._rules = db, store, rules
        self._hash_algo, self._max_bytes = hash_algo, max_bytes

    def pre_execute(self) -> None:
        """Begin even when cancelled: the image is active; reading then ends at once."""
        self.run.lease.check()

    def execute(self) -> None:
        """Do so; trouble is logged."""
        located.add_hashes(
            self._db, self.run, self._store, self._rules, self._hash_algo, self._max_bytes
        )
