# SPDX-License-Identifier: Apache-2.0
"""Callers of tests, who say themselves who they are; no part of the application."""

from __future__ import annotations

from typing import Any

from glance_lite.context import RequestContext


def identify(environ: dict[str, Any], request_id: str) -> RequestContext | None:
    """Believe ``X-Test-Caller: project:role,role``; ``nobody`` is not identified.

    ``anonymous`` has no token, and is let in to read.
    """
    caller = environ.get('HTTP_X_TEST_CALLER', 'p1:admin,member,reader')
    if caller == 'nobody':
        return None
    if caller == 'anonymous':
        return RequestContext(roles=['reader'], read_only=True, request_id=request_id)
    project, _, roles = caller.partition(':')
    return RequestContext(
        user_id=f'user-of-{project}',
        project_id=project,
        roles=roles.split(','),
        request_id=request_id,
    )
