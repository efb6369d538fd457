# SPDX-License-Identifier: Apache-2.0
"""An image service for clouds: interoperable image import that always ends."""

__version__ = '0.1.0'
