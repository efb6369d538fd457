# SPDX-License-Identifier: Apache-2.0
"""``hash-location``: read the data, and compare it with what the caller says of it."""

from __future__ import annotations

from typing import Any

from glance_lite import exceptions
from glance_lite.image_import import located
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.inspection import FormatRules
from glance_lite.stores.base import Store


class HashLocation(Step):
    """Provide ``image_facts``. Changes nothing."""

    default_provides = 'image_facts'

    def __init__(
        self, run: ImportRun, store: Store, rules: FormatRules, hash_algo: str, max_bytes: int
    ) -> None:
        super().__init__('hash-location', run)
        self._store, self._rules = store, rules
        self._hash_algo, self._max_bytes = hash_algo, max_bytes

    def execute(self, found_size: int, image_before: dict[str, Any]) -> dict[str, Any]:
        """Return the facts of the data.

        :raises ImportFailed: another hash, another format, unsafe, or it cannot be read.
        """
        inspector = self._rules.inspector(
            image_before['disk_format'], image_before['container_format']
        )
        facts = located.measure(
            self.run, self._store, self._hash_algo, self._max_bytes, inspector=inspector
        )
        if facts.size != found_size:
            raise exceptions.ImportFailed('source_changed', 'The data has another size now.')
        wanted = self.run.task.plan['validation']
        found = (facts.expected or {}).get(wanted['os_hash_algo'])
        if found != wanted['os_hash_value']:
            raise exceptions.ImportFailed(
                'checksum_mismatch',
                f"The {wanted['os_hash_algo']} of the content is {found}, not the one given.",
            )
        return facts.to_record()
