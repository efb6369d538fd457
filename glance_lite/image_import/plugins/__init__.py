# SPDX-License-Identifier: Apache-2.0
"""The built-in import plugins, installed by entry points as a stranger's are. One plugin a file."""
