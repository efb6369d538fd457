# SPDX-License-Identifier: Apache-2.0
"""JSON schemas of the resources: shown to clients, and asked when they send something."""
