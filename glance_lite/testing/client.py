# SPDX-License-Identifier: Apache-2.0
"""A client of the HTTP API with no socket: requests go straight into the WSGI application.

Imports do not run by themselves: :meth:`Client.run_imports` runs those that were requested, one
after another, in this process.
"""

from __future__ import annotations

import json
from typing import Any

import webob

from glance_lite import deploy
from glance_lite.context import RequestContext
from glance_lite.testing.trial import Trial


class Client:
    """Speaks to the API of a :class:`~glance_lite.testing.trial.Trial`, as one user."""

    def __init__(
        self,
        trial: Trial,
        *,
        project_id: str = 'trial-project',
        user_id: str = 'trial-user',
        roles: tuple[str, ...] = ('member', 'reader'),
    ) -> None:
        """Be this user, whom the service takes without a token."""
        self._trial = trial

        def identify(environ: dict[str, Any], request_id: str) -> RequestContext:
            return RequestContext(
                user_id=user_id,
                project_id=project_id,
                roles=list(roles),
                request_id=request_id,
                overwrite=False,
            )

        self._app = deploy.loadapp(trial.conf, trial.services, identify)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | list[Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> webob.Response:
        """Send a request; bytes go as image data, anything else as JSON.

        The answer has ``status_int``, ``headers``, ``body`` and ``json``; an error status is no
        exception.
        """
        request = webob.Request.blank(path, method=method)
        if isinstance(body, bytes):
            request.body = body
            request.content_type = 'application/octet-stream'
        elif body is not None:
            request.body = json.dumps(body).encode()
            request.content_type = 'application/json'
        request.headers.update(headers or {})
        response: webob.Response = request.get_response(self._app)
        return response

    def run_imports(self) -> int:
        """Run every import that was requested and not run yet; return how many."""
        return deploy.load_conductor(self._trial.conf, self._trial.services).run_pending()
