# SPDX-License-Identifier: Apache-2.0
"""Who asks: the local administrator, and what a Keystone (a small one of ours) says of tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import webob
from oslo_config import cfg

from glance_lite import deploy
from glance_lite.middleware import identity

MakeConf = Callable[..., cfg.ConfigOpts]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('', 'none'),
        ('[paste_deploy]\nflavor = keystone\n', 'keystone'),
        ('[paste_deploy]\nflavor = keystone+caching\n', 'keystone'),
        ('[paste_deploy]\nflavor = caching\n[keystone_authtoken]\nauth_url = http://x\n', 'none'),
        ('[keystone_authtoken]\nauth_url = http://x\n', 'keystone'),
        ('[keystone_authtoken]\nwww_authenticate_uri = http://x\n', 'keystone'),
        ('[api]\nauth_strategy = none\n[keystone_authtoken]\nauth_url = http://x\n', 'none'),
        ('[api]\nauth_strategy = keystone\n', 'keystone'),
    ],
)
def test_how_callers_are_identified(make_conf: MakeConf, text: str, expected: str) -> None:
    assert identity.strategy(make_conf(text)) == expected


def test_the_local_administrator_is_always_the_same(conf: cfg.ConfigOpts) -> None:
    app = deploy.loadapp(conf)
    headers = {'X-Roles': 'reader', 'X-Project-Id': 'other', 'X-Auth-Token': 'whatever'}
    request = webob.Request.blank('/v2/images', method='POST', headers=headers, body=b'{}')
    image = request.get_response(app).json
    assert image['owner'] == identity.LOCAL_PROJECT_ID
    request = webob.Request.blank('/v2/info/stores/detail', headers=headers)
    assert request.get_response(app).status_int == 200


class Keystone(BaseHTTPRequestHandler):
    """Knows the token of the service and two users; everything else is unknown."""

    USERS = {'anna': ('p1', ['Admin', 'member']), 'bert': ('p2', ['member', 'reader'])}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers['Content-Length']))
        self._send(201, self._token('service', 'service', ['service']), 'service-token')

    def do_GET(self) -> None:
        if not self.path.startswith('/v3/auth/tokens'):
            host = self.headers['Host']
            self._send(
                300 if self.path == '/' else 200,
                {
                    'versions': {
                        'values': [
                            {
                                'id': 'v3.14',
                                'status': 'stable',
                                'links': [{'rel': 'self', 'href': f'http://{host}/v3/'}],
                            }
                        ]
                    }
                }
                if self.path == '/'
                else {
                    'version': {
                        'id': 'v3.14',
                        'status': 'stable',
                        'links': [{'rel': 'self', 'href': f'http://{host}/v3/'}],
                    }
                },
            )
            return
        name = self.headers['X-Subject-Token']
        if name in self.USERS:
            self._send(200, self._token(name, *self.USERS[name]))
        else:
            self._send(404, {'error': {'code': 404, 'message': 'x', 'title': 'Not Found'}})

    def _token(self, user: str, project: str, roles: list[str]) -> dict[str, Any]:
        domain = {'id': 'default', 'name': 'Default'}
        return {
            'token': {
                'methods': ['password'],
                'expires_at': '2099-01-01T00:00:00.000000Z',
                'issued_at': '2020-01-01T00:00:00.000000Z',
                'audit_ids': ['x'],
                'user': {'id': user, 'name': user, 'domain': domain},
                'project': {'id': project, 'name': project, 'domain': domain},
                'roles': [{'id': role, 'name': role} for role in roles],
                'catalog': [
                    {
                        'type': 'identity',
                        'id': 'i',
                        'name': 'k',
                        'endpoints': [
                            {
                                'interface': interface,
                                'id': interface,
                                'region': 'R',
                                'region_id': 'R',
                                'url': f"http://{self.headers['Host']}",
                            }
                            for interface in ('public', 'internal', 'admin')
                        ],
                    }
                ],
            }
        }

    def _send(self, status: int, data: Any, token: str | None = None) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        if token:
            self.send_header('X-Subject-Token', token)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        return None


@pytest.fixture
def keystone() -> Iterator[str]:
    server = ThreadingHTTPServer(('127.0.0.1', 0), Keystone)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def make_app(make_conf: MakeConf, keystone: str, extra: str = '') -> Any:
    return deploy.loadapp(
        make_conf(
            f'{extra}\n[keystone_authtoken]\nauth_url = {keystone}\nauth_type = password\n'
            f'www_authenticate_uri = {keystone}\nusername = glance\npassword = x\n'
            'project_name = service\nuser_domain_id = default\nproject_domain_id = default\n'
        )
    )


def call(app: Any, token: str | None, method: str = 'GET', **more: str) -> webob.Response:
    request = webob.Request.blank('/v2/images', method=method)
    if method == 'POST':
        request.body = b'{"visibility": "public"}'
    if token:
        request.headers['X-Auth-Token'] = token
    request.headers.update({name.replace('_', '-'): value for name, value in more.items()})
    return request.get_response(app)


def test_tokens_are_checked_by_keystone(make_conf: MakeConf, keystone: str) -> None:
    app = make_app(make_conf, keystone)
    image = call(app, 'anna', 'POST')
    assert (image.status_int, image.json['owner']) == (201, 'p1')
    assert call(app, 'bert', 'POST').status_int == 403
    assert len(call(app, 'bert').json['images']) == 1
    for token, forged in (
        (None, {}),
        ('wrong', {}),
        (
            None,
            {
                'X_Identity_Status': 'Confirmed',
                'X_Project_Id': 'p1',
                'X_Roles': 'admin',
            },
        ),
    ):
        answer = call(app, token, **forged)
        assert answer.status_int == 401
        assert answer.json['error']['code'] == 'unauthorized'
        assert answer.headers['WWW-Authenticate'].startswith('Keystone')
    assert webob.Request.blank('/').get_response(app).status_int == 300
    assert webob.Request.blank('/healthcheck').get_response(app).status_int == 200


def test_anonymous_callers_only_read_and_only_where_it_is_permitted(
    make_conf: MakeConf, keystone: str
) -> None:
    app = make_app(make_conf, keystone, '[DEFAULT]\nallow_anonymous_access = True\n')
    assert call(app, 'anna', 'POST').status_int == 201
    answer = call(app, None)
    assert (answer.status_int, len(answer.json['images'])) == (200, 1)
    assert call(app, None, 'POST').status_int == 403
