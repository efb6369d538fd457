# SPDX-License-Identifier: Apache-2.0
"""The rules for request heads (RFC 9112, RFC 9110), strict where leniency invites smuggling.

Reading the socket belongs to ``connection``; bodies to ``bodies``. Nothing here imports eventlet.
"""

import email.message
import io
import re

from glance_lite.server import answers

HEADERS_LIMIT_BYTES = 128 * 1024

REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r?\n")


class Refused(Exception):
    """The request is answered by the server itself, and the connection closed."""

    def __init__(self, answer: answers.Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refuse(status: str, sentence: str, *headers: tuple[str, str]) -> Refused:
    return Refused(answers.plain(status, sentence, ('Connection', 'close'), *headers))


class HeadLines:
    """The reader of header lines, with limits and without leniency about line ends."""

    def __init__(self, reader: io.BufferedReader, line_limit: int) -> None:
        self._reader = reader
        self._line_limit = line_limit
        self._left = HEADERS_LIMIT_BYTES

    def readline(self, _size: int = -1) -> bytes:
        line = self._reader.readline(self._line_limit + 1)
        self._left -= len(line)
        if len(line) > self._line_limit or self._left < 0:
            raise refuse('431 Request Header Fields Too Large', 'The headers are too large.')
        if not line.endswith(b'\n'):
            raise EOFError('the client left in the middle of the headers')
        text = line.removesuffix(b'\n').removesuffix(b'\r')
        if b'\r' in text or b'\0' in text or text[:1] in (b' ', b'\t'):
            raise refuse('400 Bad Request', 'A header line is malformed.')
        return line

    def request_line(self, limit: int) -> bytes:
        """Return the request line, checked; its parts are separated by single spaces."""
        line = self._reader.readline(limit + 1)
        if line in (b'\r\n', b'\n'):
            # RFC 9112 section 2.2: an empty line before the request line is ignored.
            line = self._reader.readline(limit + 1)
        if len(line) > limit:
            raise refuse('414 URI Too Long', 'The request line is too long.')
        if not line.endswith(b'\n'):
            raise EOFError('the client left in the middle of the request line')
        if not REQUEST_LINE.fullmatch(line):
            raise refuse('400 Bad Request', 'The request line is malformed.')
        return line


def target_path(target: str) -> str:
    """Return path and query of a request target (RFC 9112 section 3.2).

    :raises Refused: the target is neither a path, an absolute URL nor ``*``.
    """
    if target.startswith(('http://', 'https://')):
        target = '/' + target.split('://', 1)[1].partition('/')[2]
    if not target.startswith('/') and target != '*':
        raise refuse('400 Bad Request', 'The request target must be a path.')
    return target


def check_headers(headers: email.message.Message, version: str) -> None:
    """Check what holds for every request.

    :raises Refused: a line is no header, or HTTP/1.1 without exactly one Host.
    """
    if headers.defects:
        raise refuse('400 Bad Request', 'A header line is malformed.')
    if version == 'HTTP/1.1' and len(headers.get_all('host', [])) != 1:
        raise refuse('400 Bad Request', 'There must be exactly one Host header.')


def tokens(headers: email.message.Message, name: str) -> set[str]:
    """Return the members of a list header in lower case."""
    return {
        token.strip().lower() for value in headers.get_all(name, []) for token in value.split(',')
    }


def body_length(headers: email.message.Message, version: str) -> int | None:
    """Return the length of the body in bytes, None for a chunked one (RFC 9112 section 6.3).

    :raises Refused: the framing is ambiguous, malformed or unknown.
    """
    lengths = headers.get_all('content-length', [])
    codings = headers.get_all('transfer-encoding', [])
    if not codings:
        return _content_length(lengths)
    if lengths:
        raise refuse(
            '400 Bad Request', 'Content-Length and Transfer-Encoding must not come together.'
        )
    if version == 'HTTP/1.0':
        raise refuse('400 Bad Request', 'Transfer-Encoding needs HTTP/1.1.')
    if [coding.strip().lower() for coding in codings] != ['chunked']:
        raise refuse('501 Not Implemented', 'The only transfer coding is chunked.')
    return None


def _content_length(values: list[str]) -> int:
    if not values:
        return 0
    digits = values[0].strip(' \t')
    if len(values) > 1 or len(digits) > 19 or not (digits.isascii() and digits.isdigit()):
        raise refuse('400 Bad Request', 'Content-Length must be one decimal number.')
    return int(digits)
