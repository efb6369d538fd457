# SPDX-License-Identifier: Apache-2.0
"""Put the caller's context into the WSGI environment, or refuse who is not identified."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from glance_lite import exceptions
from glance_lite.context import RequestContext
from glance_lite.middleware import fault
from glance_lite.middleware.identity import Identify

#: Where the context rests in the WSGI environment.
CONTEXT = 'glance_lite.context'


class ContextMiddleware:
    """Establishes the caller once; the application behind never sees a request without one."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        identify: Identify,
        is_admin: Callable[[RequestContext], bool],
    ) -> None:
        self._app = app
        self._identify = identify
        self._is_admin = is_admin

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        context = self._identify(environ, environ[fault.REQUEST_ID])
        if context is None:
            line, headers, body = fault.render(
                environ,
                401,
                'unauthorized',
                'The request needs a valid token in the header X-Auth-Token.',
            )
            start_response(line, headers)
            return [body]
        try:
            context.is_admin = not context.read_only and self._is_admin(context)
        except exceptions.ServiceUnavailable as error:  # the rules cannot be read
            line, headers, body = fault.render_unavailable(environ, error.message)
            start_response(line, headers)
            return [body]
        environ[CONTEXT] = context
        return self._app(environ, start_response)
