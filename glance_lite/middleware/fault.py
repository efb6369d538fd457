# SPDX-License-Identifier: Apache-2.0
"""The body of an error, the same wherever in the pipeline it is made.

JSON unless the client accepts plain text only: every client library finds the sentence in
``{"error": {"message": ...}}``, also those that send ``Accept: */*``.
"""

from __future__ import annotations

import http
import json
from typing import Any

from webob import acceptparse

#: Where the request id rests in the WSGI environment.
REQUEST_ID = 'glance_lite.request_id'
#: Where the template of the route rests, once it is found.
ROUTE = 'glance_lite.route'

#: Seconds after which a client may try again what could not be answered.
RETRY_SECONDS = 5

Headers = list[tuple[str, str]]


def render(
    environ: dict[str, Any], status: int, code: str, message: str
) -> tuple[str, Headers, bytes]:
    """Return status line, headers and body of an error."""
    title = title_of(status)
    request_id = environ.get(REQUEST_ID)
    if _wants_json(environ):
        content_type = 'application/json'
        text = json.dumps(
            {
                'error': {
                    'code': code,
                    'message': message,
                    'status': status,
                    'title': title,
                    'request_id': request_id,
                }
            }
        )
    else:
        content_type = 'text/plain; charset=UTF-8'
        text = f'{status} {title}\n\n{message}\n\nRequest id: {request_id}\n'
    body = text.encode('utf-8', 'replace')
    headers = [('Content-Type', content_type), ('Content-Length', str(len(body)))]
    return f'{status} {title}', headers, b'' if environ['REQUEST_METHOD'] == 'HEAD' else body


def render_unavailable(environ: dict[str, Any], message: str) -> tuple[str, Headers, bytes]:
    """Return a 503 that says when to try again."""
    line, headers, body = render(environ, 503, 'service_unavailable', message)
    return line, [*headers, ('Retry-After', str(RETRY_SECONDS))], body


def title_of(status: int) -> str:
    """Return the reason phrase of a status."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return 'Error'


def _wants_json(environ: dict[str, Any]) -> bool:
    accept = environ.get('HTTP_ACCEPT')
    if not accept:
        return True
    try:
        offers = acceptparse.create_accept_header(accept).acceptable_offers(
            ['application/json', 'text/plain']
        )
    except ValueError:
        return True
    return not offers or offers[0][0] == 'application/json'
