# SPDX-License-Identifier: Apache-2.0
"""Which addresses are not public, and what they are called.

Facts only, after the IANA special-purpose address registries (RFC 6890 and its successors). What is
done with them is ``url_filter.py``.
"""

from __future__ import annotations

import dataclasses
import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True)
class SpecialRange:
    """A range that is not public; ``guarded`` ones are not opened by a mere name in a list."""

    network: Network
    name: str
    guarded: bool = False


def _range(network: str, name: str, guarded: bool = False) -> SpecialRange:
    return SpecialRange(ipaddress.ip_network(network), name, guarded)


#: Looked through in order: the closer description comes first.
SPECIAL_RANGES: tuple[SpecialRange, ...] = (
    _range('0.0.0.0/8', 'unspecified', True),
    _range('10.0.0.0/8', 'private'),
    _range('100.100.100.200/32', 'cloud metadata', True),
    _range('100.64.0.0/10', 'shared'),
    _range('127.0.0.0/8', 'loopback'),
    _range('168.63.129.16/32', 'cloud metadata', True),
    _range('169.254.169.254/32', 'cloud metadata', True),
    _range('169.254.0.0/16', 'link-local', True),
    _range('172.16.0.0/12', 'private'),
    _range('192.0.0.0/24', 'reserved', True),
    _range('192.0.2.0/24', 'documentation'),
    _range('192.88.99.0/24', '6to4 relay', True),
    _range('192.168.0.0/16', 'private'),
    _range('198.18.0.0/15', 'benchmarking'),
    _range('198.51.100.0/24', 'documentation'),
    _range('203.0.113.0/24', 'documentation'),
    _range('224.0.0.0/4', 'multicast', True),
    _range('255.255.255.255/32', 'broadcast', True),
    _range('240.0.0.0/4', 'reserved', True),
    _range('::/128', 'unspecified', True),
    _range('::1/128', 'loopback'),
    _range('64:ff9b:1::/48', 'local NAT64', True),
    _range('2001::/32', 'Teredo', True),
    _range('2001::/23', 'reserved', True),
    _range('2001:db8::/32', 'documentation'),
    _range('2002::/16', '6to4', True),
    _range('3fff::/20', 'documentation'),
    _range('fd00:ec2::254/128', 'cloud metadata', True),
    _range('fd20:ce::254/128', 'cloud metadata', True),
    _range('fc00::/7', 'unique local'),
    _range('fe80::/10', 'link-local', True),
    _range('fec0::/10', 'site-local', True),
    _range('ff00::/8', 'multicast', True),
)

_GLOBAL_UNICAST = ipaddress.ip_network('2000::/3')
_NOT_GLOBAL = _range('::/0', 'reserved', True)
_NAT64 = ipaddress.ip_network('64:ff9b::/96')


def unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address only wraps, else the address itself.

    IPv4-mapped (RFC 4291 section 2.5.5.2) and well-known NAT64 (RFC 6052) addresses lead to the
    IPv4 address in them, so that is what must be judged.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def special_range(address: Address) -> SpecialRange | None:
    """Return the range that keeps ``address`` (already unwrapped) from being public, if any."""
    for special in SPECIAL_RANGES:
        if address.version == special.network.version and address in special.network:
            return special
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return _NOT_GLOBAL
    return None
