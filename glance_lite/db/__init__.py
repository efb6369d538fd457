# SPDX-License-Identifier: Apache-2.0
"""The only room that speaks SQL. One module a resource; functions take the session first.

``Database.reader()`` and ``Database.writer()`` open the transactions; callers never keep one open
while bytes move.
"""
