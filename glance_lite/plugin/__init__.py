# SPDX-License-Identifier: Apache-2.0
"""What the author of an import plugin imports, and how the service finds and builds plugins.

The built-in plugins live in ``image_import/plugins``; what Glance's plugins expect of their
arguments is ``image_import/surface.py``.
"""

from glance_lite.plugin.base import (
    ImageChanges,
    ImageSnapshot,
    Importer,
    ImportPlugin,
    StagedData,
    reject,
)

__all__ = [
    'ImageChanges',
    'ImageSnapshot',
    'ImportPlugin',
    'Importer',
    'StagedData',
    'reject',
]
