# SPDX-License-Identifier: Apache-2.0
"""Build entry for tools that call it; all metadata is in setup.cfg."""

from setuptools import setup

setup()
