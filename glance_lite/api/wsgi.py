# SPDX-License-Identifier: Apache-2.0
"""The WSGI application: find the route, call its handler, render what it returns or raises.

Handlers see a :class:`Request` and return a :class:`Reply`; nothing else of WSGI reaches them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable
from typing import Any

import routes
import webob
from oslo_log import log

from glance_lite import exceptions
from glance_lite.api import body, errors
from glance_lite.context import RequestContext
from glance_lite.middleware import context as context_middleware
from glance_lite.middleware import fault
from glance_lite.services import Services

LOG = log.getLogger(__name__)

JSON = 'application/json'
METHODS = frozenset(
    {
        'GET',
        'HEAD',
        'POST',
        'PUT',
        'PATCH',
        'DELETE',
        'OPTIONS',
        'TRACE',
        'CONNECT',
        'QUERY',
    }
)


class Request(webob.BaseRequest):
    """One request: webob's view of it, the caller, the services, the routes and the arguments."""

    def __init__(
        self,
        environ: dict[str, Any],
        services: Services,
        table: RouteTable,
        args: dict[str, str],
    ) -> None:
        super().__init__(environ)
        self.services = services
        self.table = table
        self.args = args
        self.context: RequestContext = environ[context_middleware.CONTEXT]

    @functools.cached_property
    def base_url(self) -> str:
        """The base of the links in answers, without a slash at its end."""
        return base_url(self.environ, self.services.conf.public_endpoint)

    @functools.cached_property
    def query(self) -> list[tuple[str, str]]:
        """The parameters of the URL, in order.

        :raises InvalidRequest: they are not UTF-8.
        """
        try:
            return list(self.GET.items())
        except UnicodeDecodeError:
            raise exceptions.InvalidRequest('The query of the URL is not UTF-8.') from None

    def read_json(self, example: str | None = None) -> Any:
        """Return the JSON body; errors as of :func:`body.read_json`."""
        return body.read_json(self.environ, self.services.conf.max_json_body_size, example)

    def refuse_body(self) -> None:
        """Raise if the request has a body where none belongs."""
        if not body.BodySource(self.environ).is_empty:
            raise exceptions.InvalidRequest(f'A {self.method} request takes no body here.')


@dataclasses.dataclass
class Reply:
    """What a handler answers: ``data`` becomes JSON, ``stream`` is sent as it is."""

    status: int = 200
    data: Any = None
    headers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    stream: Iterable[bytes] | None = None


Handler = Callable[[Request], Reply]
#: From a path template to the handlers of its methods.
RouteTable = dict[str, dict[str, Handler]]


class Application:
    """The Images API. Expects the caller's context in the environment."""

    def __init__(self, services: Services, table: RouteTable) -> None:
        self._services = services
        self._table = table
        self._mapper = routes.Mapper(controller_scan=None)
        for path in table:
            self._mapper.connect(None, path, path=path)
        self._mapper.create_regs([])

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        try:
            reply = self._dispatch(environ)
        except Exception as error:
            answer = errors.describe(error)
            if answer is None:
                raise
            if answer.status >= 500:
                LOG.warning('%s: %s', environ.get(fault.REQUEST_ID), answer.cause or error)
            return render_error(answer, environ, start_response)
        return render(reply, start_response)

    def _dispatch(self, environ: dict[str, Any]) -> Reply:
        method = environ['REQUEST_METHOD']
        if method not in METHODS:
            raise errors.UnknownMethod('The service has no such method.')
        try:
            path = environ.get('PATH_INFO', '').encode('latin-1').decode('utf-8')
        except UnicodeError:
            raise exceptions.InvalidRequest('The path of the URL is not UTF-8.') from None
        args = self._mapper.match(path)
        if args is None:
            raise exceptions.NotFound('There is nothing under this path.')
        environ[fault.ROUTE] = args.pop('path')
        handlers = self._table[environ[fault.ROUTE]]
        if 'image_id' in args:
            args['image_id'] = args['image_id'].lower()  # one spelling of a UUID, as when created
        if method not in handlers:
            raise errors.MethodNotAllowed(method, list(handlers))
        request = Request(environ, self._services, self._table, args)
        if request.context.read_only and method != 'GET':
            raise exceptions.Forbidden('Without a token nothing can be changed.')
        if method in ('GET', 'DELETE'):
            request.refuse_body()
        return handlers[method](request)


def allow_reading(
    app: Callable[..., Iterable[bytes]],
) -> Callable[..., Iterable[bytes]]:
    """Return an application that is asked with GET and HEAD only; other methods are 405."""

    def asked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ['REQUEST_METHOD'] in ('GET', 'HEAD'):
            return app(environ, start_response)
        answer = errors.describe(
            errors.MethodNotAllowed(environ['REQUEST_METHOD'], ['GET', 'HEAD'])
        )
        assert answer is not None
        return render_error(answer, environ, start_response)

    return asked


def render_error(
    answer: errors.Answer, environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """Send an error."""
    line, headers, content = fault.render(environ, answer.status, answer.code, answer.message)
    start_response(line, headers + answer.headers)
    return [content]


def render(reply: Reply, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Send a reply."""
    line = f'{reply.status} {fault.title_of(reply.status)}'
    if reply.stream is not None:
        start_response(line, reply.headers)
        return reply.stream
    if reply.data is None:
        # a length would be wrong for 204 (RFC 9110 section 8.6), any other has none to tell
        extra = [] if reply.status == 204 else [('Content-Length', '0')]
        start_response(line, reply.headers + extra)
        return []
    content = json.dumps(reply.data).encode('ascii')
    start_response(
        line,
        [('Content-Type', JSON), ('Content-Length', str(len(content))), *reply.headers],
    )
    return [content]


def base_url(environ: dict[str, Any], public_endpoint: str | None) -> str:
    """Return the base URL of the service as the client knows it, without a final slash."""
    if public_endpoint:
        return public_endpoint.rstrip('/')
    return str(webob.BaseRequest(environ).application_url).rstrip('/')
