# SPDX-License-Identifier: Apache-2.0
"""Every option of the core, by group: declarations only, registered on the conf handed over."""
