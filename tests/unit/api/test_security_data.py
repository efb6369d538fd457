# SPDX-License-Identifier: Apache-2.0
"""Lessons of the field's advisories: what becomes of bytes, URLs and secrets on their way.

The number in a name is the row on the page ``contributor/security``.
"""

from __future__ import annotations

import ast
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import webob

import glance_lite
from glance_lite import deploy, exceptions
from glance_lite.domain.import_request import NEEDS_STATUS

from .conftest import FORMATS, OCTETS, Api, error

PERMIT = (
    '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'
    '[web_download]\nretries = 0\nrequire_framing = false\n'
)
PACKAGE = Path(glance_lite.__file__).parent
OWNER = 'p2:member,reader'
UNSAFE = b'QFI\xfb\0\0\0\x03' + (0x200).to_bytes(8) + (20).to_bytes(4) + bytes(500) + b'/etc/passwd'
#: Spellings of places that no import may read from.
INSIDE = [
    'http://127.0.0.1/x',
    'http://localhost/x',
    'http://[::1]/x',
    'http://[::ffff:127.0.0.1]/x',
    'http://2130706433/x',
    'http://0x7f.1/x',
    'http://0/x',
    'http://169.254.169.254/latest/meta-data',
    'http://10.0.0.1/x',
    'http://user@127.0.0.1/x',
    'http://127.0.0.1\\@192.0.2.1/x',
    'http://127.0.0.1:25/x',
]
#: Schemes that reach files or stores of the service, as written by who tries it.
SCHEMES = [
    'file:///etc/passwd',
    'FILE:///etc/passwd',
    'filesystem:///etc/passwd',
    'FileSystem:///etc/passwd',
    ' file:///etc/passwd',
    'swift+config://ref/container/object',
    'sheepdog://127.0.0.1:7000:x;touch$IFS/tmp/y',
    'rbd://pool/image/snap',
    'cinder://volume',
    'ftp://192.0.2.1/x',
    'gopher://192.0.2.1/x',
    'data:,x',
    'jar:http://192.0.2.1!/x',
]


class Source(BaseHTTPRequestHandler):
    """Answers with ``data``; remembers the headers that it saw."""

    data = b'x' * 5000
    seen: list[str] = []

    def do_GET(self) -> None:
        self.seen.append(str(self.headers))
        self.send_response(404 if self.path == '/missing' else 200)
        body = b'secret words of the source' if self.path == '/missing' else self.data
        if self.path != '/unannounced':
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def source() -> Iterator[str]:
    Source.seen = []
    server = ThreadingHTTPServer(('127.0.0.1', 0), Source)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f'127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def run_imports(api: Api) -> None:
    deploy.load_conductor(api.services.conf, api.services).run_pending()


def post_import(api: Api, path: str, uri: str | None = None) -> webob.Response:
    method = {'name': 'web-download', 'uri': uri} if uri else {'name': 'glance-direct'}
    return api.call('POST', path + '/import', {'method': method})


def download(api: Api, uri: str, **attributes: Any) -> tuple[str, dict[str, Any]]:
    """Import from a URI that the filter permits; return the image's path and its task."""
    path = api.create(**{**FORMATS, **attributes})
    assert post_import(api, path, uri).status_int == 202
    run_imports(api)
    return path, api.get(path + '/tasks').json['tasks'][-1]


def nothing_is_kept(api: Api) -> bool:
    return api.stored_files() == [] and api.staged_files() == []


def put(api: Api, path: str, source: Any) -> webob.Response:
    """Send a body whose length is not announced."""
    request = webob.Request.blank(path, method='PUT', content_type=OCTETS)
    request.environ.update(
        {'wsgi.input': source, 'HTTP_TRANSFER_ENCODING': 'chunked', 'wsgi.input_terminated': True}
    )
    return request.get_response(api.app)


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(PACKAGE.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path.relative_to(PACKAGE), node


def test_f02_secrets_of_a_url_are_in_no_error(make_api: Callable[..., Api], source: str) -> None:
    api = make_api(PERMIT)
    secrets = ('hunter2', 'key-of-mine')
    for address in (source, '192.168.0.1:1'):
        uri = f'http://anna:hunter2@{address}/missing?token=key-of-mine&signature=key-of-mine'
        path = api.create(**FORMATS)
        answer = post_import(api, path, uri)
        run_imports(api)
        told = answer.text + api.get(path + '/tasks').text + api.get(path).text
        assert 'missing' in told or answer.status_int == 400
        assert not any(secret in told for secret in secrets), told


def test_f05_secrets_of_a_url_are_neither_logged_nor_kept_in_sight(
    make_api: Callable[..., Api], source: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = make_api(PERMIT)
    with caplog.at_level(logging.DEBUG):
        path, task = download(api, f'http://anna:hunter2@{source}/disk?token=key-of-mine')
        assert task['status'] == 'success', task
        download(api, f'http://anna:hunter2@{source}/missing?token=key-of-mine')
    assert caplog.text and 'hunter2' not in caplog.text and 'key-of-mine' not in caplog.text
    assert 'hunter2' not in api.get(path + '/tasks').text + api.get(path).text


def test_f06_no_text_of_a_request_reaches_a_shell(api: Api) -> None:
    for path, node in sources():
        if isinstance(node, ast.keyword):
            assert node.arg != 'shell', path
        if isinstance(node, ast.Attribute):
            assert node.attr not in ('system', 'popen', 'getoutput'), path
    path = api.create(**FORMATS)
    for uri in ('sheepdog://x;touch /tmp/y', 'http://192.0.2.1/$(touch x)\n', 'http://`id`/x'):
        assert post_import(api, path, uri).status_int == 400


@pytest.mark.parametrize('way', ['/file', '/stage', 'web-download', 'web-download/unannounced'])
def test_f07_the_size_cap_holds_on_every_way_in(
    make_api: Callable[..., Api], source: str, way: str
) -> None:
    api = make_api('[DEFAULT]\nimage_size_cap = 1000\n' + PERMIT)
    if way.startswith('/'):
        path = api.create(**FORMATS)
        parts = [b'x' * 600, b'x' * 600, b'']

        class Body:
            def read(self, size: int) -> bytes:
                return parts.pop(0)

        assert error(put(api, path + way, Body())) == (413, 'limit_exceeded')
        assert error(api.call('PUT', path + way, b'x' * 1001)) == (413, 'limit_exceeded')
    else:
        path, task = download(api, f'http://{source}/{way.partition("/")[2] or "disk"}')
        assert (task['status'], task['error']['code']) == ('failure', 'too_large')
    assert api.get(path).json['status'] == 'queued' and nothing_is_kept(api)


@pytest.mark.parametrize('uri', SCHEMES)
def test_f08_only_http_is_fetched_however_another_scheme_is_spelled(api: Api, uri: str) -> None:
    path = api.create(**FORMATS)
    assert error(post_import(api, path, uri)) == (400, 'filtered_uri')
    change = [{'op': 'add', 'path': '/locations/-', 'value': {'url': uri, 'metadata': {}}}]
    assert api.call('PATCH', path, change).status_int in (400, 403)
    assert api.get(path).json['status'] == 'queued'


@pytest.mark.parametrize('way', ['/file', '/stage'])
def test_f09_an_image_deleted_while_its_data_comes_leaves_none(api: Api, way: str) -> None:
    path = api.create(**FORMATS)

    class Body:
        parts = [b'x' * 1000, b'x' * 1000, b'']

        def read(self, size: int) -> bytes:
            if len(self.parts) == 1:
                assert api.call('DELETE', path).status_int == 204
            return self.parts.pop(0)

    assert error(put(api, path + way, Body())) == (410, 'gone')
    assert nothing_is_kept(api)


def test_f10_an_image_deleted_while_it_is_imported_leaves_nothing(api: Api) -> None:
    path = api.stage()
    assert post_import(api, path).status_int == 202
    assert api.call('DELETE', path).status_int == 204
    run_imports(api)
    assert api.get(path).status_int == 404 and nothing_is_kept(api)


@pytest.mark.parametrize('uri', INSIDE)
def test_f20_every_url_that_the_service_fetches_is_judged_by_the_one_filter(
    api: Api, uri: str
) -> None:
    path = api.create(**FORMATS)
    assert error(post_import(api, path, uri)) == (400, 'filtered_uri')
    assert api.get(path).json['status'] == 'queued'


def test_f20_nothing_but_the_room_of_the_filter_opens_connections_to_urls() -> None:
    """The other modules of this kind speak to addresses of the operator's alone."""
    clients = {'requests', 'urllib.request', 'http.client', 'urllib3', 'httpx', 'aiohttp'}
    allowed = {'remote', 'client', 'cmd', 'jobs'}
    for path, node in sources():
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or '']
        if clients.intersection(names):
            assert path.parts[0] in allowed, path
    assert set(NEEDS_STATUS) >= {'glance-direct', 'web-download'}


def test_f23_a_failed_fetch_tells_nothing_of_what_answers_there(
    make_api: Callable[..., Api], source: str
) -> None:
    """A closed port, one that speaks another language, and an error page: no word of theirs."""
    api = make_api(PERMIT)
    with socket.create_server(('127.0.0.1', 0)) as other:
        threading.Thread(target=_greet, args=(other,), daemon=True).start()
        with socket.create_server(('127.0.0.1', 0)) as gone:
            closed = gone.getsockname()[1]
        told = [
            download(api, f'http://127.0.0.1:{port}/x')[1]
            for port in (closed, other.getsockname()[1])
        ]
    told.append(download(api, f'http://{source}/missing')[1])
    assert {task['error']['code'] for task in told[:2]} == {told[0]['error']['code']}
    for task in told:
        assert task['status'] == 'failure'
        assert 'secret' not in str(task) and 'SSH' not in str(task)
    api = make_api()
    path = api.create(**FORMATS)
    refusals = {post_import(api, path, f'http://127.0.0.1:{port}/x').status for port in (closed, 1)}
    assert refusals == {'400 Bad Request'}


def _greet(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b'SSH-2.0-secret_1\r\n')


def test_f25_a_source_is_shown_no_token(make_api: Callable[..., Api], source: str) -> None:
    api = make_api(PERMIT)
    path = api.create(**FORMATS)
    body = {'method': {'name': 'web-download', 'uri': f'http://{source}/disk'}}
    headers = {'X-Auth-Token': 'a-token', 'X-Service-Token': 'a-token', 'Cookie': 'a-token'}
    assert api.call('POST', path + '/import', body, headers).status_int == 202
    run_imports(api)
    assert api.get(path).json['status'] == 'active'
    assert Source.seen and 'a-token' not in ''.join(Source.seen)


def test_f29_staging_is_private_and_no_link_leads_out_of_it(
    make_api: Callable[..., Api], tmp_path: Path
) -> None:
    api = make_api()
    staging = tmp_path / 'staging'
    assert staging.stat().st_mode & 0o777 == 0o700
    path = api.stage()
    (name,) = api.staged_files()
    assert (staging / name).stat().st_mode & 0o077 == 0
    # a link in place of the file: neither followed by an import nor by what is staged next
    secret = tmp_path / 'secret'
    secret.write_bytes(b'of the host')
    (staging / name).unlink()
    (staging / name).symlink_to(secret)
    post_import(api, path)
    run_imports(api)
    assert api.get(path).json['status'] != 'active'
    assert b'of the host' not in api.get(path + '/file').body
    assert secret.read_bytes() == b'of the host'
    for spoil in (lambda: staging.chmod(0o777), lambda: _link(staging)):
        spoil()
        with pytest.raises(exceptions.ConfigError, match='node_staging_uri'):
            make_api()
        staging.unlink() if staging.is_symlink() else staging.chmod(0o700)


def _link(staging: Path) -> None:
    os.rename(staging, staging.with_name('elsewhere'))
    staging.symlink_to(staging.with_name('elsewhere'))


@pytest.mark.parametrize('way', ['upload', 'glance-direct', 'web-download'])
def test_f30b_bytes_of_a_refused_image_stay_nowhere(
    make_api: Callable[..., Api], source: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api(PERMIT)
    path, told = refuse(api, source, way, monkeypatch)
    assert 'unsafe_image' in told
    assert api.get(path).json['status'] == 'queued' and nothing_is_kept(api)


@pytest.mark.parametrize('way', ['upload', 'glance-direct', 'web-download'])
def test_f30c_refused_bytes_are_never_readable(
    make_api: Callable[..., Api], source: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before they are judged nor after, not even for an administrator."""
    api = make_api(PERMIT + '[DEFAULT]\nshow_image_direct_url = true\n')
    path, _ = refuse(api, source, way, monkeypatch, look=lambda path: _unreadable(api, path))
    _unreadable(api, path)


def _unreadable(api: Api, path: str) -> None:
    answer = api.get(path + '/file')
    assert (answer.status_int, answer.body) == (204, b'')
    image = api.get(path).json
    assert image['checksum'] is None and image['os_hash_value'] is None
    assert 'direct_url' not in image and not image.get('stores')


def refuse(
    api: Api,
    source: str,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[str], None] = lambda path: None,
) -> tuple[str, str]:
    """Bring in a disk that asks for a file of the host; return the image's path and what is said.

    :param look: called with the path whenever there are bytes that nobody has judged.
    """
    path = api.create(disk_format='qcow2', container_format='bare')
    if way == 'upload':
        answer = api.call('PUT', path + '/file', UNSAFE)
        return path, answer.text
    if way == 'glance-direct':
        answer = api.call('PUT', path + '/stage', UNSAFE)
        return path, answer.text
    monkeypatch.setattr(Source, 'data', UNSAFE)
    assert post_import(api, path, f'http://{source}/disk').status_int == 202
    look(path)
    run_imports(api)
    return path, api.get(path + '/tasks').text
