# SPDX-License-Identifier: Apache-2.0
"""``copy-to-store:<store>``: put the bytes where they will rest, under a name of this attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores.base import Store

LOG = log.getLogger(__name__)


class CopyToStore(Step):
    """Provide the copy's place; undone by removing it.

    When not all stores must succeed, a failure is a result and not an exception.
    """

    def __init__(
        self,
        run: ImportRun,
        store: Store,
        position: int,
        must_succeed: bool,
        discard: Callable[[Store], None],
    ) -> None:
        """Copy to ``store``; ``discard`` removes what attempts of this import left in it."""
        super().__init__(f'copy-to-store:{store.store_id}', run, provides=f'copy_{position}')
        self._store = store
        self._must_succeed = must_succeed
        self._discard = discard

    def execute(self, data_path: str, image_facts: dict[str, Any]) -> dict[str, Any]:
        """Return ``{store, url, metadata, error}`` of the copy.

        :raises ImportFailed: ``no_space`` or ``store_failed``, when this store must succeed.
        """
        self.run.bytes_total = image_facts['size']
        try:
            self._discard(self._store)
            stored = self._store.put_file(
                data_path, self.run.image_id, self.run.attempt, self.run.advance
            )
        except exceptions.StoreError as error:
            if self._must_succeed:
                raise _failed(self._store.store_id, error) from error
            LOG.warning(
                'Import %s: store %s failed: %s', self.run.task.task_id, self._store.store_id, error
            )
            return {'store': self._store.store_id, 'error': error.message, 'code': error.code}
        return {
            'store': self._store.store_id,
            'url': stored.url,
            'metadata': stored.metadata,
            'error': None,
        }

    def revert(self, result: Any, **kwargs: Any) -> None:
        """Remove whatever this or an earlier attempt left in the store."""
        try:
            self._discard(self._store)
        except Exception:
            LOG.exception(
                'Import %s: store %s still has data', self.run.task.task_id, self._store.store_id
            )


def _failed(store_id: str, error: exceptions.StoreError) -> exceptions.ImportFailed:
    code = 'no_space' if isinstance(error, exceptions.StoreFull) else 'store_failed'
    return exceptions.ImportFailed(code, f"The store '{store_id}': {error.message}")
