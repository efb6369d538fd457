# SPDX-License-Identifier: Apache-2.0
"""Import plugins in the shapes of the field, one a file. Nothing of glance_lite is imported."""
