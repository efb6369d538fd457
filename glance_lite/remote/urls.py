# SPDX-License-Identifier: Apache-2.0
"""Read a URL in one strict way, and show it without its secrets.

A URL that two programs could read differently is refused here, before any rule looks at it: then
the host that was judged is the host that is connected to. No rules of the deployer and no DNS:
those are ``url_filter.py``.
"""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import re
import unicodedata
import urllib.parse

import idna

MAX_URL_CHARS = 8192
#: Characters of a masked URL at most.
_MASKED_LENGTH = 512

DEFAULT_PORTS = {'http': 80, 'https': 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*):')
_AUTHORITY = re.compile(r'//([^/?#]*)')
_LABEL = re.compile(r'[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?')
# What the URL standard (url.spec.whatwg.org, "ends in a number") takes for an IPv4 address.
_NUMERIC_LABEL = re.compile(r'[0-9]+|0x[0-9a-f]*')
# For masking only: where a host would follow, and what is plainly no user info cut in two.
_BEFORE_HOST = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2,}')
_HOST_AND_PORT = re.compile(r'(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?')
_SECRET_IN_PATH = re.compile(r'[^/?#]*:[^/@?#]*@')


class UrlSyntaxError(ValueError):
    """The URL is malformed or ambiguous; the text completes 'the URI is refused: ...'."""


@dataclasses.dataclass(frozen=True)
class CheckedUrl:
    """A URL that was read without doubt.

    ``host`` is lower case, in ASCII, without a final dot or brackets; ``address`` is set if it is
    an IP address. ``port`` is the effective one. ``target`` is the path and query to ask for.
    ``masked`` may be shown to anybody; ``authorization`` (from the user info) may not.
    """

    scheme: str
    host: str
    port: int
    target: str = dataclasses.field(repr=False)
    masked: str
    address: Address | None = None
    authorization: str | None = dataclasses.field(default=None, repr=False)

    @property
    def netloc(self) -> str:
        """Host and, unless it is the default of the scheme, port, as in a Host header."""
        host = f'[{self.host}]' if isinstance(self.address, ipaddress.IPv6Address) else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f'{host}:{self.port}'

    @property
    def url(self) -> str:
        """The URL without user info and fragment. Its query may hold secrets."""
        return f'{self.scheme}://{self.netloc}{self.target}'

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must be equal for credentials to be sent again (RFC 6454 section 4)."""
        return self.scheme, self.host, self.port


def parse_url(url: object) -> CheckedUrl:
    """Read ``url`` without asking DNS.

    :raises UrlSyntaxError: when it is malformed, or could be read in two ways.
    """
    if not isinstance(url, str):
        raise UrlSyntaxError('it is not a string')
    _check_characters(url)
    scheme_match = _SCHEME.match(url)
    if not scheme_match:
        raise UrlSyntaxError('it has no scheme')
    authority_match = _AUTHORITY.match(url, scheme_match.end())
    if not authority_match:
        raise UrlSyntaxError('it has no host')
    userinfo, _, hostport = authority_match.group(1).rpartition('@')
    if '@' in userinfo:
        raise UrlSyntaxError('more than one @ stands before its host')
    scheme = scheme_match.group(1).lower()
    host_text, port_text = _split_port(hostport)
    host, address = parse_host(host_text)
    return CheckedUrl(
        scheme=scheme,
        host=host,
        port=_parse_port(port_text, scheme),
        target=_target(url[authority_match.end() :]),
        masked=mask_url(url),
        address=address,
        authorization=_basic(userinfo) if userinfo else None,
    )


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case, which may be malformed otherwise; '' if none."""
    found = _SCHEME.match(url)
    return found.group(1).lower() if found else ''


def parse_host(text: str) -> tuple[str, Address | None]:
    """Return the normal form of a host name or address, and the address if it is one.

    :raises UrlSyntaxError: for a shorthand, octal, hexadecimal or encoded address, or a bad name.
    """
    if text.startswith('['):
        return _parse_ipv6(text)
    if not text:
        raise UrlSyntaxError('it has no host')
    if '%' in text:
        raise UrlSyntaxError('its host is percent-encoded')
    if text.isascii():
        name = text.lower()
    else:
        try:
            name = idna.encode(text, uts46=True).decode('ascii').lower()
        except (idna.IDNAError, UnicodeError):
            raise UrlSyntaxError('its host is not a valid internationalised name') from None
    name = name.removesuffix('.')
    labels = name.split('.')
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _parse_ipv4(name)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlSyntaxError('its host is not a valid name')
    return name, None


def mask_url(url: object) -> str:
    """Return ``url`` fit for anybody's eyes, even if it is malformed.

    User info becomes ``***``, so does the value of each query parameter; the fragment goes.
    """
    if not isinstance(url, str):
        return '(not a string)'
    text = ''.join(c if c.isprintable() and not c.isspace() else '_' for c in url)
    text = text.partition('#')[0]
    text, question, query = text.partition('?')
    start = _BEFORE_HOST.match(text)
    if start is None:
        # Without a place for the host, anything before an @ may be a secret.
        text = '***@' + text.rpartition('@')[2] if '@' in text else text
    else:
        head, slash, path = text[start.end() :].partition('/')
        if '@' in head:
            head = '***@' + head.rpartition('@')[2]
        elif not _HOST_AND_PORT.fullmatch(head):
            head = '***'
        text = start.group() + head + slash + _SECRET_IN_PATH.sub('***@', path)
    if question:
        text += '?' + '&'.join(_mask_parameter(part) for part in query.split('&'))
    return text if len(text) <= _MASKED_LENGTH else text[:_MASKED_LENGTH] + '...'


def is_masked(masked: str) -> bool:
    """Tell whether :func:`mask_url` may have left something out that a request would need."""
    return '***' in masked or len(masked) > _MASKED_LENGTH


def _mask_parameter(part: str) -> str:
    name, equals, value = part.partition('=')
    if not equals:
        return '***' if name else ''
    return f'{name}=***' if value else part


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL_CHARS:
        raise UrlSyntaxError(f'it is longer than {MAX_URL_CHARS} characters')
    for char in url:
        if char == '\\':
            raise UrlSyntaxError('it has a backslash')
        if char.isspace():
            raise UrlSyntaxError('it has white space')
        if unicodedata.category(char) in ('Cc', 'Cf', 'Cs'):
            raise UrlSyntaxError('it has a control character')


def _split_port(hostport: str) -> tuple[str, str]:
    if hostport.startswith('['):
        host, bracket, rest = hostport.partition(']')
        if not bracket or (rest and not rest.startswith(':')):
            raise UrlSyntaxError('the brackets of its host are not closed as they should be')
        return host + bracket, rest[1:]
    host, _, port = hostport.partition(':')
    return host, port


def _parse_port(text: str, scheme: str) -> int:
    if not text:
        return DEFAULT_PORTS.get(scheme, 0)
    if not re.fullmatch('[0-9]{1,5}', text) or not 1 <= int(text) <= 65535:
        raise UrlSyntaxError('its port is not a number from 1 to 65535')
    return int(text)


def _parse_ipv4(name: str) -> tuple[str, Address]:
    try:
        address = ipaddress.IPv4Address(name)
    except ValueError:
        raise UrlSyntaxError(
            'its host is a number, but not an IPv4 address in four decimal parts'
        ) from None
    return str(address), address


def _parse_ipv6(text: str) -> tuple[str, Address]:
    try:
        address = ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        raise UrlSyntaxError('the address in its brackets is not IPv6') from None
    if address.scope_id:
        raise UrlSyntaxError('its IPv6 address has a zone')
    return address.compressed, address


def _target(rest: str) -> str:
    path, _, _ = rest.partition('#')
    if not path.startswith('/'):
        path = '/' + path
    return ''.join(char if char.isascii() else urllib.parse.quote(char) for char in path)


def _basic(userinfo: str) -> str:
    user, _, password = userinfo.partition(':')
    pair = f'{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}'
    return 'Basic ' + base64.b64encode(pair.encode('utf-8')).decode('ascii')
