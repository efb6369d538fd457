# SPDX-License-Identifier: Apache-2.0
"""``find-location``: see that the data is where it is said to be, and how large it is."""

from __future__ import annotations

from glance_lite import exceptions
from glance_lite.image_import import located
from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.stores.base import Store


class FindLocation(Step):
    """Provide ``found_size`` in bytes. Changes nothing."""

    default_provides = 'found_size'

    def __init__(self, run: ImportRun, store: Store, max_bytes: int, allowance: Allowance) -> None:
        super().__init__('find-location', run)
        self._store, self._max_bytes = store, max_bytes
        self._allowance = allowance

    def execute(self) -> int:
        """Return the size that the source tells.

        :raises ImportFailed: the source cannot be read, is too large, or the project has no room.
        """
        reader = located.open_data(self.run, self._store)
        reader.close()
        if reader.length > self._max_bytes:
            raise exceptions.ImportFailed(
                'too_large', f'The image data is larger than the limit of {self._max_bytes} bytes.'
            )
        self._allowance.require(reader.length)
        return reader.length
