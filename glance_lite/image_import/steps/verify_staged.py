# SPDX-License-Identifier: Apache-2.0
"""``verify-staged``: compare what came with what was declared, before anything touches it."""

from __future__ import annotations

from typing import Any

from glance_lite import exceptions
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.inspection import Finding, FormatRules


class VerifyStaged(Step):
    """Refuse bytes of another hash or format, or unsafe ones. Changes nothing."""

    def __init__(self, run: ImportRun, rules: FormatRules) -> None:
        super().__init__('verify-staged', run)
        self._rules = rules

    def execute(self, staged_facts: dict[str, Any], image_before: dict[str, Any]) -> None:
        """Check the facts measured while the bytes came.

        :raises ImportFailed: ``checksum_mismatch``, ``unsafe_image`` or ``format_mismatch``.
        """
        self._check_hash(staged_facts)
        self._rules.check(
            Finding(**staged_facts['finding']),
            image_before['disk_format'],
            image_before['container_format'],
        )

    def _check_hash(self, facts: dict[str, Any]) -> None:
        wanted = self.run.task.plan.get('validation')
        if not wanted:
            return
        algo = wanted['os_hash_algo']
        found = (facts.get('expected') or {}).get(algo)
        if found is None and facts['os_hash_algo'] == algo:
            found = facts['os_hash_value']
        if found != wanted['os_hash_value'].lower():
            raise exceptions.ImportFailed(
                'checksum_mismatch',
                f'The {algo} of the content is {found}, not the one given with the import.',
            )
