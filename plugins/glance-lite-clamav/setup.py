# SPDX-License-Identifier: Apache-2.0
"""Build the distribution; everything about it is in setup.cfg."""

import setuptools

setuptools.setup()
