# SPDX-License-Identifier: Apache-2.0
"""``copy-image``: more stores get the data that an active image has."""

from __future__ import annotations

from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.image_import.steps.fetch_copy import FetchCopy
from glance_lite.services import Services


def stage(services: Services, run: ImportRun, allowance: Allowance) -> Step:
    """Return the step that fetches the data from a store that has it."""
    return FetchCopy(
        run, services.db, services.stores, services.staging, services.conf.hashing_algorithm
    )
