# SPDX-License-Identifier: Apache-2.0
"""Where bytes rest: stores of image data, and the staging area where data waits.

Stores are always a list, one or many; types are found by Stevedore in ``glance_lite.stores``.
"""
