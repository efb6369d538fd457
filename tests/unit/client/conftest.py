# SPDX-License-Identifier: Apache-2.0
"""A small image service over HTTP that does what a test tells it, for tests of the client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

# by name: importing eventlet puts its own module in the place of the attribute http.server
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

IMAGE_ID = '5ad1a4a2-2b0b-4b0e-9a5f-1f1f6a6b7c8d'
TASK_ID = '0c3f4f5e-8a5b-4b6e-8d6a-3e2a1b0c9d8e'


class FakeImages:
    """One image. ``task_answers`` are the tasks that are shown, one after another, after an import.

    ``refuse`` maps ``METHOD /path`` (without ``/v2`` and with ``ID`` for the image's id) to a
    status, headers and a body.
    """

    def __init__(self) -> None:
        self.image: dict[str, Any] | None = None
        self.task_answers: list[dict[str, Any]] = []
        self.final_status = 'active'
        self.refuse: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.methods = 'glance-direct,web-download'
        self.staged = b''
        self.stage_headers: dict[str, str] = {}
        self.import_body: dict[str, Any] | None = None
        self.calls: list[str] = []
        self.url = ''

    def refuse_json(self, call: str, status: int, message: str, **headers: str) -> None:
        """Make a call answer with an error status and a JSON body."""
        body = json.dumps({'message': message, 'code': f'{status} Refused', 'title': 'Refused'})
        self.refuse[call] = (status, headers, body.encode())

    def answer(
        self, call: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for a call."""
        self.calls.append(call)
        if call in self.refuse:
            return self.refuse[call]
        if call == 'POST /images':
            self.image = {**json.loads(body), 'id': IMAGE_ID, 'status': 'queued'}
            return self._json(201, self.image, {'OpenStack-image-import-methods': self.methods})
        if call == 'GET /info/stores':
            return self._json(200, {'stores': [{'id': 'fast'}, {'id': 'slow'}]})
        if call.startswith('GET /images?'):
            found = [self.image] if self.image and self.image['name'] in call else []
            return self._json(200, {'images': found})
        if self.image is None or 'ID' not in call:
            return self._json(404, {'message': 'No image found.'})
        return self._answer_of_image(call, body, headers)

    def _answer_of_image(
        self, call: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        assert self.image is not None
        if call == 'GET /images/ID':
            return self._json(200, self.image)
        if call == 'DELETE /images/ID':
            self.image = None
            return 204, {}, b''
        if call == 'PUT /images/ID/stage':
            self.staged, self.stage_headers = body, headers
            self.image['status'] = 'uploading'
            return 204, {}, b''
        if call == 'POST /images/ID/import':
            self.import_body = json.loads(body)
            self.image['status'] = 'importing'
            return 202, {'OpenStack-image-import-task-id': TASK_ID}, b''
        return self._json(200, {'tasks': self._next_task()})

    def _next_task(self) -> list[dict[str, Any]]:
        assert self.image is not None
        if not self.task_answers:
            return []
        many = len(self.task_answers) > 1
        shown = self.task_answers.pop(0) if many else self.task_answers[0]
        if shown['status'] in ('success', 'failure') and self.image['status'] == 'importing':
            self.image['status'] = self.final_status
        return [{'id': TASK_ID, 'type': 'api_image_import', 'created_at': '2026-01-01', **shown}]

    @staticmethod
    def _json(
        status: int, document: dict[str, Any], headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        content = {'Content-Type': 'application/json', **(headers or {})}
        return status, content, json.dumps(document).encode()


def _handler(images: FakeImages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
            if not self.path.startswith('/v2/') or self.path == '/v2/':
                link = [{'rel': 'self', 'href': f'{images.url}/v2/'}]
                version = {'id': 'v2.17', 'status': 'CURRENT', 'links': link}
                answer = images._json(200, {'versions': [version]})
            else:
                call = f'{self.command} {self.path[3:].replace(IMAGE_ID, "ID")}'
                answer = images.answer(call, body, dict(self.headers))
            status, headers, content = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _do

        def log_message(self, *args: object) -> None:
            return None

    return Handler


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeImages]:
    """The service; its ``url`` is where it listens."""
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    fake = FakeImages()
    server = ThreadingHTTPServer(('127.0.0.1', 0), _handler(fake))
    fake.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()
