# SPDX-License-Identifier: Apache-2.0
"""Options of ``[web_download]``: how the service fetches from a URL.

Only declarations; ``remote/options.py`` reads and checks them. Which URLs may be fetched at all is
``conf/import_filtering.py``.
"""

from __future__ import annotations

from oslo_config import cfg

from glance_lite import __version__
from glance_lite.conf import types as conf_types

GROUP = 'web_download'

_opts: list[cfg.Opt] = [
    cfg.StrOpt(
        'http_proxy',
        secret=True,
        mutable=True,
        help='Proxy for http sources, as http://[user:password@]host[:port]. Proxy settings of the '
        'environment are never used. The URL filter still judges the URL, and the addresses of its '
        'host as far as this machine can resolve it, but the proxy resolves the name again: give '
        'the proxy its own rules against private addresses.',
    ),
    cfg.StrOpt(
        'https_proxy',
        secret=True,
        mutable=True,
        help='Proxy for https sources, as http://[user:password@]host[:port]. TLS runs through the '
        'proxy (CONNECT) and is verified end to end.',
    ),
    cfg.Opt(
        'no_proxy',
        type=conf_types.LooseList(),
        default=[],
        mutable=True,
        help='Sources that are fetched without a proxy: exact names, ``*.suffix`` patterns, '
        'addresses and networks (CIDR; compared with addresses written in the URL).',
    ),
    cfg.StrOpt(
        'ca_file',
        mutable=True,
        help='PEM file of the certificate authorities to trust for https sources, in place of the '
        "system's.",
    ),
    cfg.BoolOpt(
        'insecure',
        default=False,
        mutable=True,
        help='Accept any certificate of an https source. Anybody on the path can then replace the '
        'image.',
    ),
    cfg.FloatOpt(
        'connect_timeout',
        default=10.0,
        min=0.05,
        mutable=True,
        help='Seconds in which a connection to one of the addresses of a host must be made.',
    ),
    cfg.FloatOpt(
        'read_timeout',
        default=60.0,
        min=0.05,
        mutable=True,
        help='Seconds from the connection to the end of the response headers, TLS included.',
    ),
    cfg.FloatOpt(
        'idle_timeout',
        default=120.0,
        min=0.05,
        mutable=True,
        help='Seconds that the service waits for the next bytes of a body before it gives the '
        'attempt up.',
    ),
    cfg.IntOpt(
        'minimum_rate',
        default=64,
        min=0,
        mutable=True,
        help='Bytes per second below which a source counts as idle, taken over idle_timeout '
        'seconds of waiting for it. 0 accepts any trickle.',
    ),
    cfg.IntOpt(
        'retries',
        default=5,
        min=0,
        mutable=True,
        help='How often in a row a failed attempt is repeated. Attempts that bring the download '
        'forward by 1 MiB start the count afresh.',
    ),
    cfg.FloatOpt(
        'retry_backoff',
        default=1.0,
        min=0.0,
        mutable=True,
        help='Seconds to wait before the first repetition; each further one waits twice as long, '
        'at most 60 seconds. A Retry-After of the source is honoured up to the same limit.',
    ),
    cfg.IntOpt(
        'max_redirects',
        default=5,
        min=0,
        mutable=True,
        help='How many redirects are followed; each target passes the URL filter as the URL did.',
    ),
    cfg.BoolOpt(
        'allow_redirect_to_http',
        default=False,
        mutable=True,
        help='Follow a redirect from https to http.',
    ),
    cfg.BoolOpt(
        'require_framing',
        default=True,
        mutable=True,
        help='Refuse a source that gives neither Content-Length nor chunked framing, as a body '
        'that was cut could not be told from a whole one.',
    ),
    cfg.StrOpt(
        'user_agent',
        default=f'glance_lite/{__version__}',
        sample_default='glance_lite/<version>',
        regex=r'^[\x20-\x7e]+$',
        mutable=True,
        help='The User-Agent header of the requests.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group on ``conf``."""
    conf.register_opts(_opts, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options as ``(group, options)`` for the sample generator."""
    return [(GROUP, _opts)]
