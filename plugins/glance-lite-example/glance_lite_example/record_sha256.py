# SPDX-License-Identifier: Apache-2.0
"""An import plugin that records the SHA-256 of the data as a property of the image."""

from __future__ import annotations

import hashlib

from oslo_config import cfg

from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData


class RecordSha256(ImportPlugin):
    """Read the staged data once and set ``[record_sha256] property``.

    A plugin after it that changes the data makes the record wrong: enable this one last.
    """

    name = 'record_sha256'
    runs_after = ('image_decompression', 'image_conversion')

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        name = cfg.StrOpt('property', default='sha256', help='Name of the property to set.')
        return [('record_sha256', [name])]

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Return the property; the owner sees the progress, and a cancellation ends it."""
        digest = hashlib.sha256()
        for chunk in staged.chunks():
            digest.update(chunk)
        return ImageChanges(properties={self.conf.record_sha256.property: digest.hexdigest()})
