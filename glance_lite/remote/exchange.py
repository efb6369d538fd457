# SPDX-License-Identifier: Apache-2.0
"""One GET of a URL, through its redirects, up to a body that can be read.

Each hop is judged by the URL filter, resolved once, and connected to at an address that was
judged; the name is used only for the Host header, SNI and the certificate. Credentials go only to
the origin that they were given for. Nothing of the environment is used, no cookies are kept, and
no word of an answer (reason phrase, body, banner) gets into an error.

Trying again and resuming is not here: ``http_source.py``.
"""

from __future__ import annotations

import dataclasses
import http.client
import re
import select
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from glance_lite.exceptions import ImportFailed
from glance_lite.remote import resolver, sockets, urls
from glance_lite.remote.addresses import Address
from glance_lite.remote.options import SECTION, HttpOptions
from glance_lite.remote.url_filter import UrlFilter, UrlRefused
from glance_lite.remote.urls import CheckedUrl

REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Statuses worth another try besides 5xx (RFC 9110 section 15.5.9, RFC 6585 section 4).
PASSING = frozenset({408, 425, 429})
#: A read returns what it has after this long, or when nothing more is there at once.
FILL_SECONDS = 0.25
FILL_GAP_SECONDS = 0.02


class AttemptFailed(ImportFailed):
    """An attempt failed; ``passing`` tells whether the next may succeed within this import.

    ``wait_seconds`` is what the source asked to wait (Retry-After).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        passing: bool,
        retryable: bool | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(code, message, retryable=retryable)
        self.passing = passing
        self.wait_seconds = wait_seconds


@dataclasses.dataclass(frozen=True)
class Client:
    """What an exchange needs beside the URL: rules, options and the hook that cancels.

    ``should_stop`` is called several times a second while waiting, and raises to stop.
    """

    url_filter: UrlFilter
    options: HttpOptions
    should_stop: Callable[[], None]


class Exchange:
    """An open answer with status 200 or 206, ready to be read once."""

    def __init__(
        self,
        checked: CheckedUrl,
        response: urllib3.HTTPResponse,
        connection: HTTPConnection,
        sock: socket.socket,
        source: str,
    ) -> None:
        self.checked = checked
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._connection = connection
        self._sock = sock
        self._source = source
        self._failure: AttemptFailed | None = None

    @property
    def body_bytes(self) -> int | None:
        """Bytes that this answer announces, or None when it is chunked or unframed."""
        length = self.headers.get('content-length')
        return None if length is None or 'transfer-encoding' in self.headers else int(length)

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` as far as bytes come without a pause; 0 means the whole body was read.

        :raises AttemptFailed: ``source_truncated`` or ``source_timeout``.
        """
        if self._failure is not None:
            raise self._failure
        filled, ends_at = 0, time.monotonic() + FILL_SECONDS
        try:
            while filled < len(view):
                data = self._response.read1(len(view) - filled, decode_content=False)
                if not data:
                    break
                view[filled : filled + len(data)] = data
                filled += len(data)
                if time.monotonic() > ends_at or not self._more_at_once():
                    break
        except sockets.Stalled:
            self._failure = AttemptFailed(
                'source_timeout', f'The source {self._source} stopped sending.', passing=True
            )
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            self._failure = AttemptFailed(
                'source_truncated',
                f'The source {self._source} sent less than it announced.',
                passing=True,
            )
        if self._failure is not None and not filled:
            raise self._failure
        return filled

    def close(self) -> None:
        """Drop the connection, whatever was read."""
        self._response.close()
        self._connection.close()

    def _more_at_once(self) -> bool:
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return True
        descriptor = self._sock.fileno()
        if descriptor < 0:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(FILL_GAP_SECONDS * 1000))


def get(
    client: Client, url: str, headers: Mapping[str, str], secrets: Mapping[str, str]
) -> Exchange:
    """Ask for ``url`` and follow redirects to an answer with a body.

    :param headers: sent on each hop.
    :param secrets: headers sent only to the origin of ``url``, beside the user info of the URL.
    :raises AttemptFailed: for everything that goes wrong with the source.
    :raises UrlRefused: when the URL or the target of a redirect is not permitted.
    """
    checked = first = client.url_filter.check_url(url)
    secrets = dict(secrets)
    if first.authorization:
        secrets['Authorization'] = first.authorization
    for _ in range(client.options.max_redirects + 1):
        own = secrets if _same_party(first, checked) else {}
        exchange = _ask(client, checked, {**headers, **own}, first)
        if exchange.status not in REDIRECTS:
            return _accept(exchange, client.options, first.masked)
        try:
            checked = _redirect(client, checked, exchange.headers.get('location'), first)
        finally:
            exchange.close()
    raise AttemptFailed(
        'source_http_error',
        f'The source {first.masked} redirects more than {client.options.max_redirects} times '
        f'({SECTION} max_redirects).',
        passing=False,
        retryable=False,
    )


def _same_party(first: CheckedUrl, checked: CheckedUrl) -> bool:
    upgraded = ('https', first.host, urls.DEFAULT_PORTS['https'])
    return checked.origin == first.origin or (
        first.origin == ('http', first.host, urls.DEFAULT_PORTS['http'])
        and checked.origin == upgraded
    )


def _redirect(
    client: Client, checked: CheckedUrl, location: str | None, first: CheckedUrl
) -> CheckedUrl:
    if not location:
        raise AttemptFailed(
            'source_http_error',
            f'The source {first.masked} answered with a redirect to nowhere.',
            passing=False,
            retryable=False,
        )
    # Header values are bytes that http.client shows as Latin-1; URLs are UTF-8 (RFC 3986).
    location = location.encode('latin-1', 'replace').decode('utf-8', 'replace')
    try:
        target = client.url_filter.check_url(_join(checked.url, location))
    except UrlRefused as error:
        raise _refused_redirect(first, error) from None
    if (checked.scheme, target.scheme) == ('https', 'http') and (
        not client.options.allow_redirect_to_http
    ):
        raise UrlRefused(
            first.masked,
            f'it redirects from https to {target.masked}, which {SECTION} '
            'allow_redirect_to_http does not permit',
        )
    return target


def _join(base: str, location: str) -> str:
    """Resolve a reference; one that is malformed is left as it is, for the filter to refuse."""
    if re.match('[A-Za-z][A-Za-z0-9+.-]*:', location) or '\\' in location:
        return location
    try:
        return urllib.parse.urljoin(base, location)
    except ValueError:
        return location


def _refused_redirect(first: CheckedUrl, error: UrlRefused) -> UrlRefused:
    return UrlRefused(first.masked, f'it redirects to another that is refused: {error.reason}')


def _ask(
    client: Client, checked: CheckedUrl, headers: Mapping[str, str], first: CheckedUrl
) -> Exchange:
    options = client.options
    proxy = options.proxy_for(checked)
    patience = sockets.Patience(client.should_stop)
    addresses = _addresses(client, checked, proxy, first)
    connection = _connection(client, checked, proxy, addresses, patience)
    try:
        connection.connect()
        sock = connection.sock
        assert sock is not None
        forwarding = proxy is not None and checked.scheme == 'http'
        asked = dict(headers)
        if forwarding and proxy is not None and proxy.authorization:
            asked['Proxy-Authorization'] = proxy.authorization
        connection.request(
            'GET',
            checked.url if forwarding else checked.target,
            headers={'Host': checked.netloc, **asked},
            preload_content=False,
            decode_content=False,
        )
        response = connection.getresponse()
    except BaseException as error:
        connection.close()
        failure = _connect_failure(error, first.masked)
        if failure is None:
            raise
        raise failure from error
    patience.begin_body(options.idle_timeout, options.minimum_rate)
    return Exchange(checked, response, connection, sock, first.masked)


def _addresses(
    client: Client, checked: CheckedUrl, proxy: CheckedUrl | None, first: CheckedUrl
) -> list[Address]:
    """Return where to connect to: permitted addresses of the source, or those of the proxy."""
    try:
        found = client.url_filter.permitted_addresses(checked, client.should_stop)
    except UrlRefused as error:
        if checked is first:
            raise
        raise _refused_redirect(first, error) from None
    except resolver.NameNotResolved as error:
        if proxy is None:
            raise _unreachable(first.masked) from error
        found = []
    if proxy is None:
        return found
    if proxy.address is not None:
        return [proxy.address]
    try:
        timeout = client.url_filter.resolve_timeout_seconds
        return client.url_filter.resolve(proxy.host, timeout, client.should_stop)
    except resolver.NameNotResolved as error:
        raise _unreachable(first.masked) from error


def _connection(
    client: Client,
    checked: CheckedUrl,
    proxy: CheckedUrl | None,
    addresses: list[Address],
    patience: sockets.Patience,
) -> HTTPConnection:
    options = client.options
    peer = proxy or checked

    def open_socket() -> socket.socket:
        sock = sockets.connect_any(addresses, peer.port, options.connect_timeout, patience)
        patience.until(options.read_timeout)
        return sock

    connection: HTTPConnection
    if checked.scheme == 'https':
        context = options.tls_context()
        context.sslsocket_class = sockets.tls_socket_class(patience)
        connection = HTTPSConnection(
            peer.host, peer.port, timeout=sockets.TICK_SECONDS, ssl_context=context
        )
        if proxy is not None:
            auth = {'Proxy-Authorization': proxy.authorization} if proxy.authorization else {}
            connection.set_tunnel(checked.host, checked.port, headers=auth, scheme='http')
    else:
        connection = HTTPConnection(peer.host, peer.port, timeout=sockets.TICK_SECONDS)
    # The place where urllib3 makes its socket; its SOCKS support replaces the same one.
    connection._new_conn = open_socket  # type: ignore[method-assign]
    return connection


def _connect_failure(error: BaseException, source: str) -> AttemptFailed | None:
    """Name what went wrong before an answer came; None for what is not the source's doing."""
    if isinstance(error, sockets.Stalled):
        return AttemptFailed(
            'source_timeout', f'The source {source} did not answer in time.', passing=True
        )
    if isinstance(error, urllib3.exceptions.SSLError) and error.args:
        error = error.args[0] if isinstance(error.args[0], BaseException) else error
    if isinstance(error, ssl.SSLEOFError):
        return _unreachable(source)
    if isinstance(error, ssl.SSLCertVerificationError):
        return AttemptFailed(
            'tls_error',
            f'The certificate of the source {source} was not accepted: {error.verify_message}.',
            passing=False,
        )
    if isinstance(error, ssl.SSLError | urllib3.exceptions.SSLError | ssl.CertificateError):
        return AttemptFailed(
            'tls_error', f'No TLS connection could be made to the source {source}.', passing=False
        )
    if isinstance(
        error, urllib3.exceptions.HTTPError | http.client.HTTPException | OSError | ValueError
    ):
        return _unreachable(source)
    return None


def _unreachable(source: str) -> AttemptFailed:
    return AttemptFailed(
        'source_unreachable',
        f'The source {source} cannot be reached, or does not answer as a web server.',
        passing=True,
    )


def _accept(exchange: Exchange, options: HttpOptions, source: str) -> Exchange:
    try:
        _check_answer(exchange, options, source)
    except BaseException:
        exchange.close()
        raise
    return exchange


def _check_answer(exchange: Exchange, options: HttpOptions, source: str) -> None:
    status, headers = exchange.status, exchange.headers
    if status not in (200, 206, 416):
        passing = status >= 500 or status in PASSING
        known = status in http.client.responses
        name = f' {http.client.responses[status]}' if known else ''
        raise AttemptFailed(
            'source_http_error',
            f'The source {source} answered {status}{name}.',
            passing=passing,
            retryable=passing,
            wait_seconds=_retry_after(headers) if passing else None,
        )
    trouble = _framing_trouble(headers, options)
    if trouble:
        raise AttemptFailed(
            'source_http_error',
            f'The source {source} {trouble}.',
            passing=False,
            retryable=False,
        )


def _framing_trouble(headers: Mapping[str, str], options: HttpOptions) -> str | None:
    encoding = headers.get('content-encoding', 'identity').strip().lower()
    if encoding not in ('', 'identity'):
        return 'sent encoded content (Content-Encoding), although it was asked for the bytes as is'
    transfer = headers.get('transfer-encoding')
    if transfer is not None:
        chunked = transfer.strip().lower() == 'chunked'
        return None if chunked else 'used a Transfer-Encoding that is not chunked'
    length = headers.get('content-length')
    if length is None:
        if options.require_framing:
            return (
                'gave neither Content-Length nor chunked framing, so a cut body could not be told '
                f'from a whole one ({SECTION} require_framing)'
            )
        return None
    return None if re.fullmatch('[0-9]{1,18}', length) else 'sent a malformed Content-Length'


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3) as seconds from now."""
    value = headers.get('retry-after', '').strip()
    if re.fullmatch('[0-9]{1,9}', value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
