# SPDX-License-Identifier: Apache-2.0
"""How the bytes of an import come, one method a file.

A closed table: the names are part of the public API.
"""

from __future__ import annotations

from collections.abc import Callable

from glance_lite import exceptions
from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.methods import copy_image, glance_direct, web_download
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.services import Services

METHODS: dict[str, Callable[[Services, ImportRun, Allowance], Step]] = {
    'glance-direct': glance_direct.stage,
    'web-download': web_download.stage,
    'copy-image': copy_image.stage,
}


def stage(services: Services, run: ImportRun, allowance: Allowance) -> Step:
    """Return the step by which the bytes come to the staging area.

    :raises ImportFailed: the task names a method that this release does not know.
    """
    name = run.task.plan['method']
    if name not in METHODS:
        raise exceptions.ImportFailed(
            'internal_error', f'The import method {name} is not known here.'
        )
    return METHODS[name](services, run, allowance)
