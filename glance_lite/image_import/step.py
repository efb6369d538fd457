# SPDX-License-Identifier: Apache-2.0
"""What the steps have in common: a fixed name, and a right to act that is checked first."""

from __future__ import annotations

from typing import Any

from taskflow import task

from glance_lite.image_import.run import ImportRun
from glance_lite.stores.staging import StagingArea


class Step(task.Task):
    """One TaskFlow atom of an import. Collaborators come by constructor, values by argument."""

    def __init__(self, name: str, run: ImportRun, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.run = run

    def pre_execute(self) -> None:
        """Refuse to begin when the attempt may not go on."""
        self.run.checkpoint()

    def pre_revert(self) -> None:
        """Undo nothing for an import that another conductor has."""
        self.run.lease.check()


def uri_of(path: str) -> str:
    """Return the ``file://`` URI that plugins get for a staged file."""
    return 'file://' + path


def path_of(uri: str) -> str:
    """Return the path of a ``file://`` URI, or of a bare path."""
    return uri.removeprefix('file://')


def path_in(staging: StagingArea, uri: str) -> str:
    """Return the path of a ``file://`` URI, or of a bare path.

    :raises ValueError: it does not lie in the staging area.
    """
    path = path_of(uri)
    if not staging.contains(path):
        raise ValueError('the file does not lie in the staging area')
    return path
