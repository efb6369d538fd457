# SPDX-License-Identifier: Apache-2.0
"""A paste filter for the peer only: the token ``user:project:role,role`` says who asks.

It stands where Keystone's filter stands in production and costs next to nothing, so the peer is
measured without the price of an identity service, as this project is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class TokenFilter:
    """Put the identity headers that keystonemiddleware would put into the WSGI environment."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        parts = environ.get('HTTP_X_AUTH_TOKEN', '').split(':')
        environ['HTTP_X_IDENTITY_STATUS'] = 'Confirmed' if len(parts) == 3 else 'Invalid'
        if len(parts) == 3:
            user, project, roles = parts
            environ['HTTP_X_USER_ID'] = environ['HTTP_X_USER_NAME'] = user
            environ['HTTP_X_PROJECT_ID'] = environ['HTTP_X_PROJECT_NAME'] = project
            environ['HTTP_X_ROLES'] = roles
        return self._app(environ, start_response)


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Any]:
    """Return the filter (PasteDeploy's ``paste.filter_factory`` protocol)."""
    return TokenFilter
