# SPDX-License-Identifier: Apache-2.0
"""What an operator does beside the running service: look at imports, end or repeat them, clear up.

Works on the database, the stores and the staging area as conductors do, and asks no process.
Parsing and printing is ``cmd``'s business.
"""
