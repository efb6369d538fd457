# SPDX-License-Identifier: Apache-2.0
"""``download``: fetch the bytes from the source into the staging area, hashing them meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from glance_lite import exceptions, image_data
from glance_lite.domain.quota import Budget
from glance_lite.image_import.allowance import Allowance, as_failures
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step, uri_of
from glance_lite.inspection import FormatRules
from glance_lite.stores import files
from glance_lite.stores.staging import StagingArea, seal


class RemoteSource(image_data.Source, Protocol):
    """An open source of bytes; see ``remote.http_source``."""

    content_length: int | None

    def close(self) -> None:
        """Close the connection."""
        ...


class Download(Step):
    """Provide the downloaded file and its facts; undone by removing the file."""

    default_provides = ('file_path', 'staged_path_0', 'staged_facts')

    def __init__(
        self,
        run: ImportRun,
        staging: StagingArea,
        open_source: Callable[[Callable[[], None]], RemoteSource],
        rules: FormatRules,
        hash_algo: str,
        max_bytes: int,
        allowance: Allowance,
    ) -> None:
        """Fetch from what ``open_source`` opens; it is given the checkpoint to ask meanwhile."""
        super().__init__('download', run)
        self._staging = staging
        self._open_source = open_source
        self._rules = rules
        self._hash_algo = hash_algo
        self._max_bytes = max_bytes
        self._allowance = allowance
        self._file_name = f'{run.image_id}.{run.attempt}'

    def execute(self, image_before: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
        """Return the file's URI, twice, and the facts measured while the bytes came.

        :raises ImportFailed: the source, a limit or the content ended the download.
        """
        self._clear()  # what an attempt before this one left
        budget = self._allowance.to_stage(len(self.run.task.plan['stores']))
        source = self._open_source(self.run.checkpoint)
        try:
            self.run.bytes_total = source.content_length
            with as_failures():
                budget.require(source.content_length)
            facts = self._receive(source, image_before, budget)
        finally:
            source.close()
        self.run.data_path = self._staging.path(self._file_name)
        uri = uri_of(self.run.data_path)
        return uri, uri, facts

    def revert(self, result: Any, **kwargs: Any) -> None:
        """Remove whatever was downloaded."""
        self._clear()

    def _clear(self) -> None:
        self._staging.remove_all(self.run.image_id, self.run.lease.check)

    def _receive(
        self, source: RemoteSource, image: dict[str, Any], budget: Budget
    ) -> dict[str, Any]:
        expected = (self.run.task.plan.get('validation') or {}).get('os_hash_algo')
        fd = self._staging.create(self._file_name)

        def write(piece: memoryview) -> None:
            with as_failures():
                budget.spend(len(piece))
            files.write_all(fd, piece)

        try:
            facts = image_data.transfer(
                source,
                write,
                hash_algo=self._hash_algo,
                more_hashes=(expected,) if expected else (),
                max_bytes=self._max_bytes,
                inspector=self._rules.inspector(image['disk_format'], image['container_format']),
                advance=self.run.advance,
            )
            return facts.to_record() | {'mtime_ns': seal(fd)}
        except BaseException as error:
            # whoever goes on may not see this staging area; the name is of this attempt alone
            self._staging.remove(self._file_name)
            if isinstance(error, exceptions.LimitExceeded):
                raise exceptions.ImportFailed('too_large', error.message) from error
            raise
        finally:
            os.close(fd)
