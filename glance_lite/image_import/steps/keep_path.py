# SPDX-License-Identifier: Apache-2.0
"""``keep-path:<plugin>``: settle which file the import goes on with after a plugin."""

from __future__ import annotations

from glance_lite import exceptions
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step, path_in, path_of, uri_of
from glance_lite.stores.staging import StagingArea


class KeepPath(Step):
    """Follow a plugin that provides ``file_path``: None from it means "unchanged"."""

    def __init__(self, run: ImportRun, staging: StagingArea, plugin: str, position: int) -> None:
        """Stand behind the plugin at ``position`` (from 1) among those that provide a path."""
        super().__init__(
            f'keep-path:{plugin}',
            run,
            provides=('file_path', f'staged_path_{position}'),
            rebind={'given': 'file_path', 'before': f'staged_path_{position - 1}'},
        )
        self._staging = staging
        self._plugin = plugin

    def execute(self, given: str | None, before: str) -> tuple[str, str]:
        """Return the file to go on with, twice.

        :raises ImportFailed: the plugin gave a file outside the staging area.
        """
        if given is None or given == before:
            return before, before
        try:
            path = uri_of(path_in(self._staging, given))
        except ValueError as error:
            raise exceptions.ImportFailed(
                'plugin_failed', f"The plugin '{self._plugin}' gave a wrong file: {error}."
            ) from error
        self.run.data_path = path_of(path)
        return path, path
