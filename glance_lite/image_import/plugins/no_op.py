# SPDX-License-Identifier: Apache-2.0
"""The import plugin that does nothing but say so, to see that plugins run."""

from __future__ import annotations

from oslo_log import log

from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData

LOG = log.getLogger(__name__)


class NoOp(ImportPlugin):
    """Log one line at level DEBUG when run, one when undone."""

    name = 'no_op'

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        LOG.debug('Import plugin no_op ran for image %s', image.image_id)
        return None

    def revert(self, image: ImageSnapshot, staged: StagedData) -> None:
        LOG.debug('Import plugin no_op was undone for image %s', image.image_id)
