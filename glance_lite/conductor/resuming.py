# SPDX-License-Identifier: Apache-2.0
"""Whether an attempt may go on where an earlier one stood.

What was written of the steps is true, but files are not in the database: a plugin of the earlier
attempt may have removed, replaced or half rewritten what the steps before it gave, or they are on
another host.
"""

from __future__ import annotations

import os
from typing import Any

from taskflow import states
from taskflow.persistence import models

from glance_lite.stores.staging import StagingArea

_SCHEME = 'file://'


def may_go_on(detail: models.FlowDetail, has_plugins: bool, staging: StagingArea) -> bool:
    """Tell whether the finished steps of a flow still hold; else it begins at the first again.

    While plugins run they do not: only once the data is measured is it known what it has to be.
    """
    results = {atom.name: atom.results for atom in detail if atom.state == states.SUCCESS}
    measured: Any = results.get('measure-data') or results.get('fetch-copy')
    if measured is not None:
        facts, path = measured
        return staging.contains(path) and _is(path, facts['size'])
    staged: Any = results.get('use-staged') or results.get('download')
    if staged is None or has_plugins:
        return False
    uri, _, facts = staged
    path = uri.removeprefix(_SCHEME)
    return staging.contains(path) and _is(path, facts['size'], facts['mtime_ns'])


def _is(path: str, size: int, mtime_ns: int | None = None) -> bool:
    try:
        info = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return info.st_size == size and mtime_ns in (None, info.st_mtime_ns)
