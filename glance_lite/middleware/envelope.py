# SPDX-License-Identifier: Apache-2.0
"""The outermost layer: a request id for each request, one log line, and the last-resort fault.

The id is the client's ``x-openstack-request-id`` if it sent one that is fit for a log, else a new
one; it comes back in a header of that name and stands in the body of every error.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from oslo_log import log

from glance_lite.context import RequestContext
from glance_lite.metrics import Meter
from glance_lite.middleware import fault

LOG = log.getLogger(__name__)

_ID = re.compile(r'[0-9A-Za-z_.:-]+')
#: Characters of an id that records of tasks can hold.
_KEPT = 255


class Envelope:
    """WSGI middleware; see the module."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        max_id_length: int,
        meter: Meter | None = None,
    ) -> None:
        self._app = app
        self._max_id_length = max_id_length
        self._meter = meter or Meter()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        began = time.monotonic()
        given = environ.get('HTTP_X_OPENSTACK_REQUEST_ID')
        request_id = self._accept(given) or 'req-' + str(uuid.uuid4())
        environ[fault.REQUEST_ID] = request_id
        # until the caller is known; else this thread would log under the request before
        RequestContext(request_id=request_id)
        answered: list[str] = []

        def answer(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            answered[:] = [status[:3]]
            headers.append(('x-openstack-request-id', request_id))
            if exc_info:
                return start_response(status, headers, exc_info)
            return start_response(status, headers)

        try:
            if given and len(given) > self._max_id_length:
                return _refuse(
                    environ,
                    answer,
                    431,
                    'header_too_long',
                    'The header x-openstack-request-id may have '
                    f'{self._max_id_length} characters at most.',
                )
            if given and not _ID.fullmatch(given):
                return _refuse(
                    environ,
                    answer,
                    400,
                    'invalid_request',
                    'The header x-openstack-request-id may only have letters, digits and any of '
                    '"_.:-".',
                )
            return self._app(environ, answer)
        except Exception:
            LOG.exception('Request %s failed', request_id)
            return _refuse(
                environ,
                answer,
                500,
                'internal_error',
                'The service failed to answer. Its log has the cause under the request id.',
            )
        finally:
            seconds = time.monotonic() - began
            path = environ.get('PATH_INFO', '')
            self._meter.request(
                environ['REQUEST_METHOD'],
                environ.get(fault.ROUTE),
                path,
                ''.join(answered),
                seconds,
            )
            LOG.info(
                '%s %s %s %s %.4f',
                request_id,
                environ['REQUEST_METHOD'],
                _printable(path),
                ''.join(answered),
                seconds,
            )

    def _accept(self, given: str | None) -> str | None:
        if not given or len(given) > self._max_id_length or not _ID.fullmatch(given):
            return None
        prefixed = given if given.startswith('req-') else f'req-{given}'
        return prefixed[:_KEPT]


def _refuse(
    environ: dict[str, Any], answer: Callable[..., Any], status: int, code: str, message: str
) -> Iterable[bytes]:
    line, headers, body = fault.render(environ, status, code, message)
    answer(line, headers)
    return [body]


def _printable(path: str) -> str:
    return path if path.isprintable() else ascii(path)
