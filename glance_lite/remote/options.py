# SPDX-License-Identifier: Apache-2.0
"""How sources are fetched, read from ``[web_download]`` and checked before it is used.

Which URLs may be fetched is ``url_filter.py``.
"""

from __future__ import annotations

import dataclasses
import ssl

import certifi
from oslo_config import cfg

from glance_lite import __version__
from glance_lite.conf import web_download
from glance_lite.exceptions import ConfigError
from glance_lite.remote import urls
from glance_lite.remote.url_filter import NO_HOSTS, HostList
from glance_lite.remote.urls import CheckedUrl

SECTION = f'[{web_download.GROUP}]'
MAX_BACKOFF_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class HttpOptions:
    """Options of ``[web_download]``; times in seconds. Safe to share between threads."""

    http_proxy: CheckedUrl | None = None
    https_proxy: CheckedUrl | None = None
    no_proxy: HostList = NO_HOSTS
    ca_file: str | None = None
    insecure: bool = False
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    idle_timeout: float = 120.0
    minimum_rate: int = 64
    retries: int = 5
    retry_backoff: float = 1.0
    max_redirects: int = 5
    allow_redirect_to_http: bool = False
    require_framing: bool = True
    user_agent: str = f'glance_lite/{__version__}'

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> HttpOptions:
        """Read and check the options.

        :raises ConfigError: naming the option that cannot be used.
        """
        group = conf[web_download.GROUP]
        options = cls(
            http_proxy=_parse_proxy(group.http_proxy, 'http_proxy'),
            https_proxy=_parse_proxy(group.https_proxy, 'https_proxy'),
            no_proxy=HostList.parse(group.no_proxy, 'no_proxy', SECTION),
            **{
                name: group[name]
                for name in (
                    'ca_file',
                    'insecure',
                    'connect_timeout',
                    'read_timeout',
                    'idle_timeout',
                    'minimum_rate',
                    'retries',
                    'retry_backoff',
                    'max_redirects',
                    'allow_redirect_to_http',
                    'require_framing',
                    'user_agent',
                )
            },
        )
        options.tls_context()
        return options

    def proxy_for(self, checked: CheckedUrl) -> CheckedUrl | None:
        """Return the proxy for a URL, or None when it is fetched directly."""
        proxy = self.https_proxy if checked.scheme == 'https' else self.http_proxy
        if proxy is None or self.no_proxy.has_name(checked.host):
            return None
        if checked.address is not None and self.no_proxy.has_address(checked.address):
            return None
        return proxy

    def tls_context(self) -> ssl.SSLContext:
        """Return a new client context that trusts what the options say.

        :raises ConfigError: when ``ca_file`` cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f'{SECTION} ca_file {self.ca_file} cannot be used: {error}.'
            ) from error
        system = ssl.get_default_verify_paths()
        if self.ca_file is None and system.cafile is None and system.capath is None:
            context.load_verify_locations(cafile=certifi.where())
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _parse_proxy(text: str | None, option: str) -> CheckedUrl | None:
    if not text:
        return None
    try:
        proxy = urls.parse_url(text)
    except urls.UrlSyntaxError as error:
        raise ConfigError(f'{SECTION} {option} cannot be used: {error}.') from None
    if proxy.scheme != 'http' or proxy.target != '/':
        raise ConfigError(f'{SECTION} {option} must be http://[user:password@]host[:port].')
    return proxy
