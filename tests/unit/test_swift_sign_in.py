# SPDX-License-Identifier: Apache-2.0
"""The service's own token for Swift: who gets it, and who never does."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from keystoneauth1 import exceptions as keystone_errors

from glance_lite import exceptions
from glance_lite.swift_sign_in import SwiftSignIn
from tests.engine import Engine
from tests.origin import PERMIT

OPTIONS = PERMIT + '[task]\nswift_scheme = http\n'
#: That of the caller of :meth:`Engine.post_task`.
MINE = 'AUTH_p1'


class Cloud(ThreadingHTTPServer):
    """A Keystone that signs in one user, and a Swift that knows its token; on one port."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.host = f'127.0.0.1:{self.server_port}'
        self.elsewhere = ''
        #: Path and token of each request for an object.
        self.asked: list[tuple[str, str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Cloud

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        user = body['auth']['identity']['password']['user']
        right = (user['name'], user['password']) == ('glance', 'sesame')
        token = {'token': {'expires_at': '2099-01-01T00:00:00.000000Z', 'methods': ['password']}}
        answer = json.dumps(token if right else {}).encode()
        self._send(201 if right else 401, answer, ('X-Subject-Token', 'of-the-service'))

    def do_GET(self) -> None:
        token = self.headers.get('X-Auth-Token')
        self.server.asked.append((self.path, token))
        if self.path.endswith('/moved'):
            self._send(302, b'', ('Location', f'{self.server.elsewhere}/taken'))
        else:
            self._send(200 if token == 'of-the-service' else 401, b'x' * 1000)

    def _send(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ('Content-Length', str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def start() -> Iterator[Callable[[], Cloud]]:
    made: list[Cloud] = []

    def serve() -> Cloud:
        made.append(Cloud())
        threading.Thread(target=made[-1].serve_forever, args=(0.02,), daemon=True).start()
        return made[-1]

    yield serve
    for cloud in made:
        cloud.shutdown()
        cloud.server_close()


@pytest.fixture
def cloud(start: Callable[[], Cloud]) -> Cloud:
    return start()


def signing_in(cloud: Cloud, password: str = 'sesame', hosts: str = '') -> str:
    return (
        f'{OPTIONS}swift_hosts = {hosts or cloud.host}\n'
        f'[keystone_authtoken]\nauth_type = v3password\nauth_url = http://{cloud.host}/v3\n'
        f'username = glance\npassword = {password}\nuser_domain_name = Default\n'
        'project_name = service\nproject_domain_name = Default\n'
    )


@pytest.fixture
def make_engine(make_conf: Any) -> Iterator[Callable[[str], Engine]]:
    made: list[Engine] = []

    def make(options: str) -> Engine:
        conf = make_conf(options)
        engine = Engine(conf)
        engine.services.rules = dataclasses.replace(
            engine.services.rules, swift=SwiftSignIn.from_conf(conf)
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.db.dispose()


def ask(engine: Engine, uri: str) -> Any:
    task_id = engine.post_task(uri)
    engine.conductor().run_pending()
    return engine.task(task_id)


def test_what_the_project_has_in_the_clouds_own_swift_is_read(
    make_engine: Any, cloud: Cloud
) -> None:
    engine = make_engine(signing_in(cloud))
    found = ask(engine, f'swift://{cloud.host}/{MINE}/disks/a/b.raw')
    assert found.status == 'success', found.message
    assert cloud.asked == [(f'/v1/{MINE}/disks/a/b.raw', 'of-the-service')]
    assert engine.image(found.image_id).size == 1000
    with engine.db.reader() as session:
        kept = session.exec_driver_sql('SELECT plan, input, message FROM tasks').all()
    assert 'of-the-service' not in str(kept)


def test_nobody_reads_with_it_what_is_anothers(make_engine: Any, cloud: Cloud) -> None:
    engine = make_engine(signing_in(cloud))
    for account in ('AUTH_p2', 'AUTH_p', 'AUTH_p11', 'auth_p1', 'p1', 'AUTH_%701'):
        found = ask(engine, f'swift://{cloud.host}/{account}/disks/b.raw')
        assert found.error['code'] == 'source_http_error', account
        assert '401 Unauthorized' in found.message
    assert {token for _, token in cloud.asked} == {None}


@pytest.mark.parametrize(
    'path', ['../AUTH_p2/c/o', 'c/../../AUTH_p2/c/o', 'c/%2e%2e/o', 'c/a%2F..%2Fo']
)
def test_a_path_that_could_lead_to_another_account_is_refused(
    make_engine: Any, cloud: Cloud, path: str
) -> None:
    engine = make_engine(signing_in(cloud))
    with pytest.raises(exceptions.ImportFailed, match=r'is \. or \.\.'):
        engine.post_task(f'swift://{cloud.host}/{MINE}/{path}')


def test_no_other_host_gets_it(make_engine: Any, start: Callable[[], Cloud]) -> None:
    cloud, other = start(), start()
    engine = make_engine(signing_in(cloud))
    assert ask(engine, f'swift://{other.host}/{MINE}/disks/b.raw').status == 'failure'
    assert ask(engine, f'http://{cloud.host}/v1/{MINE}/disks/b.raw').status == 'failure'
    cloud.elsewhere = f'http://{other.host}'
    assert ask(engine, f'swift://{cloud.host}/{MINE}/disks/moved').status == 'failure'
    assert [token for _, token in other.asked] == [None, None]
    assert [token for path, token in cloud.asked if path.endswith('b.raw')] == [None]


def test_a_service_that_cannot_sign_in_says_so(make_engine: Any, cloud: Cloud) -> None:
    engine = make_engine(signing_in(cloud, password='wrong'))
    found = ask(engine, f'swift://{cloud.host}/{MINE}/disks/b.raw')
    assert (found.error['code'], found.error['retryable']) == ('source_unreachable', True)
    url = f'swift://{cloud.host}/{MINE}/disks/b.raw'
    assert found.message == f'The service could not sign in to read {url}.'
    assert cloud.asked == []


def test_without_hosts_there_is_nothing_to_sign_in_for(make_conf: Any) -> None:
    assert SwiftSignIn.from_conf(make_conf(OPTIONS)) is None


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ('swift_hosts = a.example.org\n', r'keystone_authtoken\] auth_type is not'),
        ('swift_hosts = http://a.example.org\n', "'http://a.example.org'"),
        ('swift_hosts = a.example.org/v1\n', "'a.example.org/v1' must be a host"),
        ('swift_hosts = u:p@a.example.org\n', 'must be a host'),
        (
            'swift_hosts = a.example.org\n[keystone_authtoken]\nauth_type = telepathy\n',
            r'\[keystone_authtoken\] cannot be used',
        ),
    ],
)
def test_what_cannot_work_stops_the_start(make_conf: Any, options: str, words: str) -> None:
    with pytest.raises(exceptions.ConfigError, match=words):
        SwiftSignIn.from_conf(make_conf(OPTIONS + options))


def test_hosts_are_compared_as_they_are_connected_to() -> None:
    tokens = SwiftSignIn(frozenset({'s.example.org'}), 'AUTH_', lambda: 'secret')
    source, uri = 'swift://S.example.org/AUTH_p1/c/o', 'https://S.example.org:443/v1/AUTH_p1/c/o'
    assert tokens.headers(source, uri, 'p1') == {'X-Auth-Token': 'secret'}
    assert tokens.headers(source, uri.replace('443', '8443'), 'p1') == {}
    assert tokens.headers(source, uri, None) == {}


def test_keystone_that_gives_no_token_is_a_reason() -> None:
    def away() -> str:
        raise keystone_errors.ConnectFailure('away')

    for get_token in (away, lambda: None):
        tokens = SwiftSignIn(frozenset({'s.example.org'}), 'AUTH_', get_token)
        with pytest.raises(exceptions.ImportFailed, match='could not sign in'):
            tokens.headers('swift://s.example.org/AUTH_p1/c/o', 'https://s.example.org/v1/x', 'p1')
