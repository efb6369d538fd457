# SPDX-License-Identifier: Apache-2.0
"""An import plugin that has ClamAV scan images: the plugin, and the protocol of its daemon."""
