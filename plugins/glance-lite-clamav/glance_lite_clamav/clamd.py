# SPDX-License-Identifier: Apache-2.0
"""Speak to clamd: one scan of a stream, and its version (clamd(8), "COMMANDS").

Knows nothing of images.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import time
import urllib.parse
from collections.abc import Callable, Iterable

#: Seconds between two calls of ``alive`` while clamd is silent.
TICK_SECONDS = 1.0
#: Bytes of an answer at most.
_ANSWER_BYTES = 4096
_NO_MORE = struct.pack('>I', 0)


class ScannerUnavailable(Exception):
    """clamd did not say whether the content is clean. The text may be shown to anybody."""


@dataclasses.dataclass(frozen=True)
class Address:
    """Where clamd listens: ``path`` of a socket, or ``host`` and ``port``."""

    path: str = ''
    host: str = ''
    port: int = 0


def parse_address(text: str) -> Address:
    """Read ``/path``, ``unix:///path`` or ``tcp://host:port``.

    :raises ValueError: it is none of them.
    """
    if text.startswith('/'):
        return Address(path=text)
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port
    except ValueError:
        url, port = urllib.parse.urlsplit(''), None
    if url.scheme == 'unix' and not url.netloc and url.path.startswith('/'):
        return Address(path=url.path)
    if url.scheme == 'tcp' and url.hostname and port and not url.path.strip('/'):
        return Address(host=url.hostname, port=port)
    raise ValueError(f"'{text}' is neither the path of a socket nor tcp://host:port")


class Clamd:
    """One clamd. Each call has a connection of its own."""

    def __init__(
        self, address: Address, timeout: float, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Wait for at most ``timeout`` seconds for each answer.

        :param alive: is called every second while clamd is silent; what it raises ends the wait.
        """
        self._address = address
        self._timeout = timeout
        self._alive = alive

    def version(self) -> str:
        """Return the version of clamd and of its signatures.

        :raises ScannerUnavailable: it does not answer.
        """
        with self._connect() as connection:
            self._send(connection, b'zVERSION\0')
            return self._answer(connection)

    def scan(self, pieces: Iterable[bytes]) -> str | None:
        """Have the bytes scanned; return the name of the signature found, None if none was.

        :raises ScannerUnavailable: clamd did not scan all of them.
        """
        with self._connect() as connection:
            try:
                self._send(connection, b'zINSTREAM\0')
                for piece in pieces:
                    self._send(connection, struct.pack('>I', len(piece)), piece)
                self._send(connection, _NO_MORE)
            except ScannerUnavailable:
                # it hangs up on what it does not want, and says why before
                answer = self._last_words(connection)
                if not answer:
                    raise
            else:
                answer = self._answer(connection)
        return _read(answer)

    def _connect(self) -> socket.socket:
        to = self._address
        try:
            if not to.path:
                return socket.create_connection((to.host, to.port), self._timeout)
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(self._timeout)
                connection.connect(to.path)
            except BaseException:
                connection.close()
                raise
            return connection
        except OSError as error:
            raise ScannerUnavailable('The virus scanner cannot be reached.') from error

    def _send(self, connection: socket.socket, *parts: bytes) -> None:
        connection.settimeout(self._timeout)
        try:
            for part in parts:
                connection.sendall(part)
        except OSError as error:
            raise ScannerUnavailable('The virus scanner hung up.') from error

    def _answer(self, connection: socket.socket) -> str:
        ends_at = time.monotonic() + self._timeout
        connection.settimeout(TICK_SECONDS)
        answer = b''
        while not answer.endswith(b'\0') and len(answer) < _ANSWER_BYTES:
            try:
                part = connection.recv(_ANSWER_BYTES)
            except TimeoutError:
                self._alive()
                if time.monotonic() > ends_at:
                    raise ScannerUnavailable('The virus scanner did not answer in time.') from None
                continue
            except OSError as error:
                raise ScannerUnavailable('The virus scanner hung up.') from error
            if not part:
                raise ScannerUnavailable('The virus scanner hung up.')
            answer += part
        return answer.rstrip(b'\0').decode('utf-8', 'replace').strip()

    def _last_words(self, connection: socket.socket) -> str:
        with contextlib.suppress(ScannerUnavailable):
            return self._answer(connection)
        return ''


def _read(answer: str) -> str | None:
    """Return the signature that an answer to a scan names.

    :raises ScannerUnavailable: it is no verdict; nothing but OK means that all was scanned.
    """
    said = answer.removeprefix('stream: ')
    if said == 'OK':
        return None
    if said.endswith(' FOUND'):
        return said.removesuffix(' FOUND')
    if 'size limit exceeded' in said:
        raise ScannerUnavailable(
            'The virus scanner takes less at once than it was given: piece_size is larger than '
            'StreamMaxLength of clamd.'
        )
    raise ScannerUnavailable('The virus scanner failed.')
