# SPDX-License-Identifier: Apache-2.0
"""An import plugin that refuses images without the properties that the operator requires."""

from __future__ import annotations

from oslo_config import cfg

from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData, reject


class RequireProperties(ImportPlugin):
    """Refuse an image that lacks one of ``[require_properties] names``, or has it empty."""

    name = 'require_properties'

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        names = cfg.ListOpt('names', default=[], help='Properties that each image must have.')
        return [('require_properties', [names])]

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Look at the properties only; the data is left alone."""
        required = self.conf.require_properties.names
        missing = [name for name in required if not image.properties.get(name)]
        if missing:
            reject(f'Set the properties {", ".join(missing)} first; images need them here.')
        return None
