# SPDX-License-Identifier: Apache-2.0
"""``glance-direct``: the user uploaded the bytes to the staging area before."""

from __future__ import annotations

from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.image_import.steps.use_staged import UseStaged
from glance_lite.services import Services


def stage(services: Services, run: ImportRun, allowance: Allowance) -> Step:
    """Return the step that finds the staged bytes."""
    return UseStaged(run, services.db, services.staging)
