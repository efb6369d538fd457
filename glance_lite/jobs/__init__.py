# SPDX-License-Identifier: Apache-2.0
"""Job boards of TaskFlow. The default keeps the jobs in the service's own database.

Posting is ``db.jobs.post``, in the caller's transaction: the API needs nothing of TaskFlow.
"""
