# SPDX-License-Identifier: Apache-2.0
"""A client of the Images API v2 that costs little CPU: http.client, sendfile and recv_into.

Only the calls that the measurements need; no retries, every unexpected status is an error.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

RECEIVE_BYTES = 1024 * 1024
POLL_SECONDS = 0.02
POLL_SHARE = 0.01
TASK_LOOK_SECONDS = 1.0


class UnexpectedAnswer(Exception):
    """The service answered with a status that the measurement cannot use."""


class Client:
    """Calls of one user on 127.0.0.1; use one object per thread."""

    def __init__(self, port: int, token: str, timeout_seconds: float = 600) -> None:
        self._address = ('127.0.0.1', port)
        self._headers = {'X-Auth-Token': token}
        self._timeout = timeout_seconds
        self._connection: http.client.HTTPConnection | None = None

    def answers(self) -> bool:
        """Tell whether the service lists images now."""
        try:
            self.call('GET', '/v2/images?limit=1')
        except (OSError, http.client.HTTPException, UnexpectedAnswer):
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the connection if there is one."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = 'application/json'
    ) -> Any:
        """Send one JSON request, on the connection of the last one if the service kept it.

        :returns: the decoded body, or None for an empty one.
        :raises UnexpectedAnswer: for any status that is not 2xx.
        """
        if not self._connection:
            self._connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
        headers = dict(self._headers)
        if body is not None:
            headers['Content-Type'] = content_type
        self._connection.request(
            method, path, json.dumps(body) if body is not None else None, headers
        )
        response = self._connection.getresponse()
        data = response.read()
        if not 200 <= response.status < 300:
            raise UnexpectedAnswer(f'{method} {path}: {response.status} {data[:300]!r}')
        return json.loads(data) if data else None

    def create_image(self, name: str, more: dict[str, Any] | None = None) -> str:
        """Create a raw, bare image, with more attributes; return its id."""
        image = {'name': name, 'disk_format': 'raw', 'container_format': 'bare', **(more or {})}
        return self.call('POST', '/v2/images', image)['id']

    def upload(self, image_id: str, what: str, source: Path) -> None:
        """PUT the file ``source`` to ``stage`` or ``file`` of an image by sendfile(2)."""
        with socket.create_connection(self._address, self._timeout) as sock:
            sock.sendall(self.upload_head(image_id, what, source.stat().st_size))
            with source.open('rb') as file:
                sock.sendfile(file)
            response = http.client.HTTPResponse(sock, method='PUT')
            response.begin()
            if response.status != 204:
                text = response.read(300)
                raise UnexpectedAnswer(f'PUT {image_id}/{what}: {response.status} {text!r}')

    def upload_head(self, image_id: str, what: str, length: int) -> bytes:
        """Return the request line and headers of an upload of ``length`` bytes."""
        lines = [
            f'PUT /v2/images/{image_id}/{what} HTTP/1.1',
            f'Host: {self._address[0]}:{self._address[1]}',
            'Content-Type: application/octet-stream',
            f'Content-Length: {length}',
            'Connection: close',
            *(f'{name}: {value}' for name, value in self._headers.items()),
        ]
        return ('\r\n'.join(lines) + '\r\n\r\n').encode()

    def start_import(self, image_id: str, method: dict[str, Any]) -> None:
        """POST an import with the given ``method`` object."""
        self.call('POST', f'/v2/images/{image_id}/import', {'method': method})

    def wait_active(
        self,
        image_id: str,
        timeout_seconds: float,
        poll_seconds: float = POLL_SECONDS,
        poll_share: float = POLL_SHARE,
    ) -> dict[str, Any]:
        """Poll an image until it is active and return it; look at its tasks once a second.

        Polls come ``poll_seconds`` apart at first, later ``poll_share`` of the time passed:
        a slow import is not made slower by being watched, and the error stays small.

        :raises UnexpectedAnswer: when the import failed or the time is up.
        """
        now = start = time.monotonic()
        deadline, look_at = now + timeout_seconds, now + TASK_LOOK_SECONDS
        while True:
            image = self.call('GET', f'/v2/images/{image_id}')
            if image['status'] == 'active':
                return image
            now = time.monotonic()
            if now > look_at:
                look_at = now + TASK_LOOK_SECONDS
                tasks = self.call('GET', f'/v2/images/{image_id}/tasks')['tasks']
                if any(task['status'] == 'failure' for task in tasks) or now > deadline:
                    raise UnexpectedAnswer(f'import of {image_id} failed or hangs: {tasks}')
            time.sleep(max(poll_seconds, poll_share * (now - start)))

    def start_task(self, url: str, name: str) -> str:
        """POST a task that makes a raw image of what a URL has; return the task's id."""
        given = {
            'import_from': url,
            'import_from_format': 'raw',
            'image_properties': {'name': name, 'container_format': 'bare'},
        }
        return self.call('POST', '/v2/tasks', {'type': 'import', 'input': given})['id']

    def wait_task(
        self, task_id: str, timeout_seconds: float, poll_seconds: float, poll_share: float
    ) -> dict[str, Any]:
        """Poll a task as :meth:`wait_active` polls an image; return the image that it made.

        :raises UnexpectedAnswer: when it failed or the time is up.
        """
        start = time.monotonic()
        while True:
            task = self.call('GET', f'/v2/tasks/{task_id}')
            if task['status'] == 'success':
                return self.call('GET', f'/v2/images/{task["result"]["image_id"]}')
            now = time.monotonic()
            if task['status'] == 'failure' or now - start > timeout_seconds:
                raise UnexpectedAnswer(f'task {task_id} failed or hangs: {task}')
            time.sleep(max(poll_seconds, poll_share * (now - start)))

    def delete_all_images(self) -> None:
        """Delete every image, page by page; one that refuses is left."""
        while images := self.call('GET', '/v2/images?limit=200')['images']:
            refused = 0
            for image in images:
                try:
                    self.call('DELETE', f'/v2/images/{image["id"]}')
                except UnexpectedAnswer:
                    refused += 1
            if refused == len(images):
                return

    def download(self, image_id: str, digest: bool = False) -> tuple[int, str]:
        """GET an image's data through one buffer of 1 MiB.

        :param digest: also compute the SHA-512, which costs the client more than the transfer.
        :returns: bytes received and the digest in hex ("" when not asked for).
        """
        hasher = hashlib.sha512() if digest else None
        with socket.create_connection(self._address, self._timeout) as sock:
            lines = [
                f'GET /v2/images/{image_id}/file HTTP/1.1',
                f'Host: {self._address[0]}:{self._address[1]}',
                'Connection: close',
                *(f'{name}: {value}' for name, value in self._headers.items()),
            ]
            sock.sendall(('\r\n'.join(lines) + '\r\n\r\n').encode())
            return _receive(sock, hasher)


def _receive(sock: socket.socket, hasher: Any) -> tuple[int, str]:
    """Read one response of known length, or until the close, into a buffer that is reused."""
    buffer = bytearray(RECEIVE_BYTES)
    view = memoryview(buffer)
    head = b''
    while b'\r\n\r\n' not in head:
        piece = sock.recv(65536)
        if not piece:
            raise UnexpectedAnswer('connection closed in the headers of a download')
        head += piece
    head, _, rest = head.partition(b'\r\n\r\n')
    status, *lines = head.decode('latin-1').split('\r\n')
    if status.split()[1] != '200':
        raise UnexpectedAnswer(f'download: {status}')
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(':') for line in lines)}
    if 'content-length' not in headers:
        raise UnexpectedAnswer('download without Content-Length')
    length = int(headers['content-length'])
    received = len(rest)
    if hasher:
        hasher.update(rest)
    while received < length:
        count = sock.recv_into(buffer)
        if not count:
            raise UnexpectedAnswer(f'download ended after {received} of {length} bytes')
        received += count
        if hasher:
            hasher.update(view[:count])
    return received, hasher.hexdigest() if hasher else ''
