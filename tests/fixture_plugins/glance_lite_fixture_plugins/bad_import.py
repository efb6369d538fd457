# SPDX-License-Identifier: Apache-2.0
"""A plugin that cannot be imported: what it needs is not installed."""

import glance_lite_fixture_missing_library  # noqa: F401


def get_flow(**kwargs):
    return None
