# SPDX-License-Identifier: Apache-2.0
"""The programs: each parses its arguments, calls the rooms below and exits. No logic lives here."""
