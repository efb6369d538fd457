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
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from glance_lite.remote import resolver, sockets, urls
from glance_lite.remote.addresses import Address
from glance_lite.remote.answer import Answer, AttemptFailed, check_answer
from glance_lite.remote.options import SECTION, HttpOptions
from glance_lite.remote.url_filter import UrlFilter, UrlRefused
from glance_lite.remote.urls import CheckedUrl

REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclasses.dataclass(frozen=True)
class Client:
    """What an exchange needs beside the URL: rules, options and the hook that cancels.

    ``should_stop`` is called several times a second while waiting, and raises to stop. ``on_hop``
    is told each URL before it is asked.
    """

    url_filter: UrlFilter
    options: HttpOptions
    should_stop: Callable[[], None]
    on_hop: Callable[[CheckedUrl], None] = lambda checked: None


def get(client: Client, url: str, headers: Mapping[str, str], secrets: Mapping[str, str]) -> Answer:
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
        client.on_hop(checked)
        own = secrets if _same_party(first, checked) else {}
        answer = _ask(client, checked, {**headers, **own}, first)
        try:
            if answer.status not in REDIRECTS:
                check_answer(answer, client.options, first.masked)
                return answer
            checked = _redirect(client, checked, answer.headers.get('location'), first)
        except BaseException:
            answer.close()
            raise
        answer.close()
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
) -> Answer:
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
    return Answer(checked, response, connection, sock, patience, first.masked)


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
        if proxy is None and checked is first:
            raise AttemptFailed(
                'source_unreachable',
                f'The host of the source {first.masked} cannot be resolved.',
                passing=True,
            ) from error
        if proxy is None:  # where redirects lead to is nothing to find out about
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
    if isinstance(error, urllib3.exceptions.HTTPError | http.client.HTTPException | OSError):
        return _unreachable(source)
    return None


def _unreachable(source: str) -> AttemptFailed:
    return AttemptFailed(
        'source_unreachable',
        f'The source {source} cannot be reached, or does not answer as a web server.',
        passing=True,
    )
