# SPDX-License-Identifier: Apache-2.0
"""The rules for request heads (RFC 9112, RFC 9110), strict where leniency invites smuggling.

Reading the socket belongs to ``connection``; bodies to ``bodies``. Nothing here imports eventlet.
"""

import dataclasses
import functools
import io
import re
import urllib.parse

from glance_lite.server import answers

HEADERS_LIMIT_BYTES = 128 * 1024
HEADERS_LIMIT = 100

REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r?\n")
# RFC 9112 section 5: neither a space before the colon, nor a line that goes on with a space.
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)\r?\n")


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a request; ``headers`` in order, their names as they were sent.

    ``target`` is path and query, or ``*``.
    """

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]

    @functools.cached_property
    def _values(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in self.headers:
            found.setdefault(name.lower(), []).append(value)
        return found

    def get_all(self, name: str) -> list[str]:
        """Return the values of a header; its name in lower case."""
        return self._values.get(name, [])

    def tokens(self, name: str) -> set[str]:
        """Return the members of a list header in lower case."""
        return {token.strip().lower() for value in self.get_all(name) for token in value.split(',')}


class Refused(Exception):
    """The request is answered by the server itself, and the connection closed."""

    def __init__(self, answer: answers.Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refuse(status: str, sentence: str, *headers: tuple[str, str]) -> Refused:
    return Refused(answers.plain(status, sentence, ('Connection', 'close'), *headers))


def read(reader: io.BufferedReader, url_limit: int, line_limit: int) -> Head:
    """Read and check the head of a request.

    :param url_limit: bytes of the request line at most.
    :param line_limit: bytes of a header line at most.
    :raises Refused: it breaks the rules or the limits.
    :raises EOFError: the client left in the middle of it.
    """
    method, target, version = _request_line(reader, url_limit).split()
    head = Head(
        method.decode('latin-1'),
        target_path(target.decode('latin-1')),
        version.decode('latin-1'),
        _headers(reader, line_limit),
    )
    if head.version == 'HTTP/1.1' and len(head.get_all('host')) != 1:
        raise refuse('400 Bad Request', 'There must be exactly one Host header.')
    return head


def _request_line(reader: io.BufferedReader, limit: int) -> bytes:
    line = reader.readline(limit + 1)
    if line in (b'\r\n', b'\n'):
        # RFC 9112 section 2.2: an empty line before the request line is ignored.
        line = reader.readline(limit + 1)
    if len(line) > limit:
        raise refuse('414 URI Too Long', 'The request line is too long.')
    if not line.endswith(b'\n'):
        raise EOFError('the client left in the middle of the request line')
    if not REQUEST_LINE.fullmatch(line):
        raise refuse('400 Bad Request', 'The request line is malformed.')
    return line


def _headers(reader: io.BufferedReader, line_limit: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    left = HEADERS_LIMIT_BYTES
    while (line := reader.readline(line_limit + 1)) not in (b'\r\n', b'\n'):
        left -= len(line)
        if len(line) > line_limit or left < 0 or len(found) == HEADERS_LIMIT:
            raise refuse('431 Request Header Fields Too Large', 'The headers are too large.')
        if not line.endswith(b'\n'):
            raise EOFError('the client left in the middle of the headers')
        header = HEADER_LINE.fullmatch(line)
        if header is None:
            raise refuse('400 Bad Request', 'A header line is malformed.')
        name, value = header.groups()
        found.append((name.decode('latin-1'), value.rstrip(b' \t').decode('latin-1')))
    return found


def target_path(target: str) -> str:
    """Return path and query of a request target (RFC 9112 section 3.2).

    :raises Refused: the target is neither a path, an absolute URL nor ``*``.
    """
    if target.startswith(('http://', 'https://')):
        target = '/' + target.split('://', 1)[1].partition('/')[2]
    if target.startswith('//'):
        # else a redirect to the same path would lead to another host
        target = '/' + target.lstrip('/')
    if not target.startswith('/') and target != '*':
        raise refuse('400 Bad Request', 'The request target must be a path.')
    return target


def environ(head: Head) -> dict[str, str]:
    """Return what the head says, by the names of PEP 3333.

    Headers with an underscore in their name are left out, since the application could not tell
    them from those with a hyphen.
    """
    path, _, query = head.target.partition('?')
    found = {
        'REQUEST_METHOD': head.method,
        'SCRIPT_NAME': '',
        'RAW_PATH_INFO': path,
        'PATH_INFO': urllib.parse.unquote(path, encoding='latin-1'),
        'QUERY_STRING': query,
        'SERVER_PROTOCOL': head.version,
        'CONTENT_TYPE': (head.get_all('content-type') or [''])[0],
    }
    if length := head.get_all('content-length'):
        found['CONTENT_LENGTH'] = length[0]
    for name, value in head.headers:
        variable = _variable(name)
        if variable in found:
            found[variable] += ',' + value
        elif variable:
            found[variable] = value
    return found


@functools.lru_cache(maxsize=1024)
def _variable(name: str) -> str:
    """Return the variable of a header, nothing for those that have none of their own."""
    if '_' in name or name.lower() in ('content-type', 'content-length'):
        return ''
    return 'HTTP_' + name.upper().replace('-', '_')


def body_length(head: Head) -> int | None:
    """Return the length of the body in bytes, None for a chunked one (RFC 9112 section 6.3).

    :raises Refused: the framing is ambiguous, malformed or unknown.
    """
    lengths = head.get_all('content-length')
    codings = head.get_all('transfer-encoding')
    if not codings:
        return _content_length(lengths)
    if lengths:
        raise refuse(
            '400 Bad Request', 'Content-Length and Transfer-Encoding must not come together.'
        )
    if head.version == 'HTTP/1.0':
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
