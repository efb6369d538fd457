# SPDX-License-Identifier: Apache-2.0
"""Dozens of malformed requests at every route: always a 4xx with a sentence, never a change."""

from __future__ import annotations

import json

import webob

from glance_lite.api import routes
from glance_lite.db import jobs

from .conftest import OCTETS, PATCH, Api

BODIES = [
    b'',
    b' ',
    b'{',
    b'{x',
    b'nonsense',
    b'\xff\xfe',
    b'\x00',
    b'null',
    b'true',
    b'5',
    b'"x"',
    b'[]',
    b'[[]]',
    b'[null]',
    b'["x"]',
    b'[5]',
    b'[{}]',
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'[' * 100000,
    b'{"a":' * 100000,
    b'{"a": ' + b'9' * 5000 + b'}',
    b'{"a": 1e999}',
    '{“name”: “x”}'.encode(),
    b'{"name": {}}',
    b'{"name": []}',
    b'{"name": "\\ud800"}',
    b'{"tags": {}}',
    b'{"tags": [[]]}',
    b'{"tags": [null]}',
    b'{"visibility": []}',
    b'{"id": 5}',
    b'{"id": "x"}',
    b'{"owner": 5}',
    b'{"min_ram": {}}',
    b'{"os_hidden": "x"}',
    b'{"method": 5}',
    b'{"method": [{}]}',
    b'{"method": {"name": {}}}',
    b'{"method": {"name": "web-download", "uri": {}}, "stores": 5}',
    b'[{"op": 5}]',
    b'[{"op": []}]',
    b'[{"op": {}, "path": "/a"}]',
    b'[{"op": "add"}]',
    b'[{"op": "add", "path": 5, "value": 1}]',
    b'[{"op": "add", "path": "/", "value": "x"}]',
    b'[{"op": "add", "path": "/a/b", "value": "x"}]',
    b'[{"op": "add", "path": "a"}]',
    b'[{"op": "add", "path": "/a~2", "value": "x"}]',
    b'[{"op": "add", "path": "/a"}]',
    b'[{"op": "add", "path": "/tags/0", "value": "x"}]',
    b'[{"op": "remove", "path": "//"}]',
    b'[{"op": "add", "path": "/\\u0000", "value": "x"}]',
    b'[{"op": "add", "path": null}]',
    b'[{"op": "add", "path": "/tags", "value": {}}]',
    b'[{"op": "move", "path": "/name"}]',
    b'[{"op": "remove", "path": "/owner"}]',
    b'[{"op": "replace", "path": "/id", "value": 5}]',
    b'[{"op": "add", "path": "/a", "value": "\\ud800"}]',
    b'{"a": "' + b'x' * 2_000_000 + b'"}',
]
#: What is a right body after all, for some route.
RIGHT = {
    ('PATCH', '/v2/images/{image_id}', b'[]'),
    ('PUT', '/v2/images/{image_id}/tags/{value}', b''),
}
HEADERS: list[dict[str, str]] = [
    {},
    {'Content-Length': '-1'},
    {'Content-Length': 'x'},
    {'Content-Length': '1 2'},
    {'Accept': 'text/plain'},
    {'Accept': ';;;'},
    {'Accept': 'application/json;q=x'},
    {'X-Image-Meta-Store': '\xff\x01'},
    {'x-openstack-image-size': '\xb2'},
    {'Range': 'bytes=\xb2-'},
    {'x-openstack-request-id': 'a b'},
    {'x-openstack-request-id': 'x' * 65},
    {'Content-Range': 'x'},
]


def send(api: Api, method: str, path: str, body: bytes, headers: dict[str, str]) -> webob.Response:
    request = webob.Request.blank('/', method=method)
    request.environ['PATH_INFO'] = path
    if body or method not in ('GET', 'DELETE'):
        request.body = body
    request.content_type = {'PATCH': PATCH, 'PUT': 'application/json'}.get(method, OCTETS)
    for name, value in headers.items():
        key = name.upper().replace('-', '_')
        request.environ[key if key == 'CONTENT_LENGTH' else f'HTTP_{key}'] = value
    return request.get_response(api.app)


def test_malformed_requests_at_every_route(api: Api) -> None:
    image, staged = api.create(name='x'), api.stage()

    def state() -> tuple[object, ...]:
        with api.services.db.reader() as session:
            return api.get('/v2/images').json, jobs.count(session), api.staged_files()

    before = state()
    tried = 0
    for template, handlers in routes.table(True).items():
        for path in {
            template.replace('{name}', 'image').replace('/v2/images/{image_id}', base)
            for base in (image, staged)
        }:
            for method in handlers:
                for body in BODIES:
                    right = (method, template, body) in RIGHT
                    if right or (not body and method in ('GET', 'DELETE')):
                        continue
                    answer = send(api, method, path, body, {})
                    assert 400 <= answer.status_int < 500, (method, path, body[:80], answer.body)
                    assert len(answer.json['error']['message']) > 15
                    tried += 1
    assert tried > 800
    assert state() == before


def test_malformed_headers_at_every_route(api: Api) -> None:
    image = api.create(name='x')
    for template, handlers in routes.table(True).items():
        path = template.replace('{name}', 'image').replace('/v2/images/{image_id}', image)
        for method in sorted(handlers, key='DELETE'.__eq__):
            if method == 'DELETE':
                continue
            for headers in HEADERS:
                answer = send(api, method, path, b'' if method == 'GET' else b'{x', headers)
                assert answer.status_int < 500, (method, path, headers, answer.body)
                assert answer.headers['x-openstack-request-id'].startswith('req-')


def test_paths_and_methods_that_there_are_not(api: Api) -> None:
    for path in (
        '/v2/zzz',
        '/v2/images/a/b/c',
        '/v2/images//file',
        '/v2/info/zzz',
        '/v2/schemas/zzz',
        '/v2/\x00',
        '/v2/\xff',
        '/v2/images/\xff',
        '/v2/' + 'x' * 9000,
    ):
        answer = send(api, 'GET', path, b'', {})
        assert answer.status_int in (400, 404), path
    for template, handlers in routes.table(True).items():
        path = template.replace('{image_id}', 'x').replace('{name}', 'image')
        for method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'HEAD'):
            if method in handlers:
                continue
            answer = send(api, method, path, b'', {})
            assert answer.status_int == 405, (method, path)
            assert answer.headers['Allow'] == ', '.join(handlers)
    assert send(api, 'BREW', '/v2/images', b'', {}).status_int == 501


def test_a_typographic_quote_gets_a_hint(api: Api) -> None:
    answer = send(api, 'POST', '/v2/images', '{“name”: “x”}'.encode(), {})
    assert 'typographic quotes' in answer.json['error']['message']


def test_a_long_body_is_not_read(api: Api) -> None:
    body = json.dumps({'a': 'x' * 2_000_000}).encode()
    answer = send(api, 'POST', '/v2/images', body, {})
    assert (answer.status_int, answer.json['error']['code']) == (413, 'limit_exceeded')
    request = webob.Request.blank('/v2/images', method='POST', body=body)
    del request.environ['CONTENT_LENGTH']
    request.environ.update({'HTTP_TRANSFER_ENCODING': 'chunked', 'wsgi.input_terminated': True})
    assert request.get_response(api.app).status_int == 413
