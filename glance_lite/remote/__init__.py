# SPDX-License-Identifier: Apache-2.0
"""URLs that the service fetches: which ones, and how their bytes come, whole or not at all.

``url_filter`` judges, ``http_source`` streams. Nothing else in the package may open a connection to
an address that a user chose. Where the bytes go, and what an import does with an error, is
``image_import/``.
"""

from __future__ import annotations

from glance_lite.remote.http_source import HttpSource, check_source
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter, UrlRefused
from glance_lite.remote.urls import CheckedUrl, mask_url

__all__ = [
    'CheckedUrl',
    'HttpOptions',
    'HttpSource',
    'UrlFilter',
    'UrlRefused',
    'check_source',
    'mask_url',
]
