# SPDX-License-Identifier: Apache-2.0
"""Example import plugins for glance_lite, one a file."""
