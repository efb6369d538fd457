# SPDX-License-Identifier: Apache-2.0
"""The nouns and rules of the Images API. No I/O, no options, no HTTP."""
