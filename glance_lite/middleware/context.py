# SPDX-License-Identifier: Apache-2.0
"""Put the caller's context into the WSGI environment, or refuse who is not identified."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from glance_lite.middleware import fault
from glance_lite.middleware.identity import Identify
from glance_lite.policy import Policy

#: Where the context rests in the WSGI environment.
CONTEXT = 'glance_lite.context'


class ContextMiddleware:
    """Establishes the caller once; the application behind never sees a request without one."""

    def __init__(
        self, app: Callable[..., Iterable[bytes]], identify: Identify, policy: Policy
    ) -> None:
        self._app = app
        self._identify = identify
        self._policy = policy

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        context = self._identify(environ, environ[fault.REQUEST_ID])
        if context is None:
            line, headers, body = fault.render(
                environ, 401, 'unauthorized',
                'The request needs a valid token in the header X-Auth-Token.',
            )
            start_response(line, headers)
            return [body]
        context.is_admin = not context.read_only and self._policy.is_admin(context)
        environ[CONTEXT] = context
        return self._app(environ, start_response)
