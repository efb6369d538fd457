# SPDX-License-Identifier: Apache-2.0
"""Options of ``[import_filtering_opts]``: which URLs the service may fetch.

Names and defaults are Glance's where Glance has the option. Only declarations; the rules are read
and applied by ``remote/url_filter.py``.
"""

from __future__ import annotations

from oslo_config import cfg, types

from glance_lite.conf import types as conf_types

GROUP = 'import_filtering_opts'

_HOST_SYNTAX = (
    'Each entry is an exact name (mirror.example.org), a pattern for every name below a suffix '
    '(``*.example.org``), an IP address, or a network in CIDR notation (192.0.2.0/24, '
    '2001:db8::/32).'
)

_opts: list[cfg.Opt] = [
    cfg.Opt(
        'allowed_schemes',
        type=conf_types.LooseList(),
        default=['http', 'https'],
        mutable=True,
        help='URL schemes that may be fetched. Empty means http and https; the service speaks no '
        'other.',
    ),
    cfg.Opt(
        'disallowed_schemes',
        type=conf_types.LooseList(),
        default=[],
        mutable=True,
        help='URL schemes that are refused, even if allowed_schemes has them too, which gives a '
        'warning at start.',
    ),
    cfg.Opt(
        'allowed_hosts',
        type=conf_types.LooseList(),
        default=[],
        mutable=True,
        help='If not empty, only these hosts may be fetched from, and every other host is refused. '
        + _HOST_SYNTAX
        + ' An exact name, an address or a network that stands here may be private or loopback. A '
        'name reaches link-local addresses (cloud metadata) only if they are listed as an address '
        'or a network. A pattern does not open private networks: add them to permitted_networks. '
        'A name also passes if each address that it resolves to is listed here.',
    ),
    cfg.Opt(
        'disallowed_hosts',
        type=conf_types.LooseList(),
        default=[],
        mutable=True,
        help='Hosts that are refused, whatever the other options allow. '
        + _HOST_SYNTAX
        + ' Addresses and networks are compared with every address that a name resolves to.',
    ),
    cfg.Opt(
        'permitted_networks',
        type=conf_types.LooseList(),
        default=[],
        mutable=True,
        help='Networks (CIDR) that may be fetched from although they are not public: private, '
        'loopback, link-local, shared (100.64.0.0/10), reserved or multicast. Without an entry '
        'here or in allowed_hosts all of them are refused, by the address that a name resolves '
        'to. Unlike allowed_hosts, this closes no other host.',
    ),
    cfg.Opt(
        'allowed_ports',
        type=conf_types.LooseList(types.Integer(1, 65535)),
        default=[80, 443],
        mutable=True,
        help='Ports that may be fetched from, compared with the port of the URL or else with the '
        'default port of its scheme. Empty allows every port.',
    ),
    cfg.Opt(
        'disallowed_ports',
        type=conf_types.LooseList(types.Integer(1, 65535)),
        default=[],
        mutable=True,
        help='Ports that are refused, even if allowed_ports has them too, which gives a warning at '
        'start.',
    ),
    cfg.FloatOpt(
        'resolve_timeout',
        default=5.0,
        min=0.1,
        mutable=True,
        help='Seconds to wait for the addresses of a host name. A name without an answer by then '
        'is refused.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group on ``conf``."""
    conf.register_opts(_opts, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options as ``(group, options)`` for the sample generator."""
    return [(GROUP, _opts)]
