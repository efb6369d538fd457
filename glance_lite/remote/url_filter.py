# SPDX-License-Identifier: Apache-2.0
"""The one validator for every URL that the service fetches.

What is decided here, and nothing else decides:

- A URL is judged twice: as it is written (:meth:`UrlFilter.check_url`, no network), and by
  **every** address that its host resolves to (:meth:`UrlFilter.permitted_addresses`). One refused
  address refuses the host, even if others would be permitted: a name that points to both sides is a
  mistake or a trick. Connections go only to addresses that were returned here, and each redirect is
  judged in the same way.
- Addresses that are not public are refused, unless ``permitted_networks`` or an address or network
  in ``allowed_hosts`` holds them. An exact *name* in ``allowed_hosts`` opens private and loopback
  addresses for this name (so a Glance file with ``allowed_hosts = [mirror]`` goes on working), but
  not link-local ones, where clouds keep their metadata. A ``*.suffix`` opens none.
- What is disallowed wins over what is allowed.
- A name without an address is refused: a filter that cannot be evaluated refuses.

An address is never told for a name that the user wrote, only the range it is in. How connections
are made is ``exchange.py``; options are declared in ``conf/import_filtering.py``.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterable

from oslo_config import cfg
from oslo_log import log as logging

from glance_lite.conf import import_filtering
from glance_lite.exceptions import ConfigError, ImportFailed
from glance_lite.remote import addresses, resolver, urls
from glance_lite.remote.addresses import Address, Network
from glance_lite.remote.urls import CheckedUrl

LOG = logging.getLogger(__name__)

SECTION = f'[{import_filtering.GROUP}]'
SPOKEN_SCHEMES = frozenset(urls.DEFAULT_PORTS)


class UrlRefused(ImportFailed):
    """A URL is not permitted; ``reason`` names the rule and the option.

    :param masked: the URL without its secrets.
    """

    def __init__(self, masked: str, reason: str, *, retryable: bool = False) -> None:
        super().__init__(
            'filtered_uri', f'The URI {masked} is refused: {reason}.', retryable=retryable
        )
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class HostList:
    """Hosts by exact name, by suffix (with its leading dot) and by network."""

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str], option: str, section: str = SECTION) -> HostList:
        """Read the entries of a list option.

        :raises ConfigError: naming the option and the entry that cannot be used.
        """
        option = f'{section} {option}'
        names: set[str] = set()
        suffixes: list[str] = []
        networks: list[Network] = []
        for entry in entries:
            if entry.startswith(('*.', '.')):
                suffixes.append('.' + _parse_name(entry.lstrip('*').lstrip('.'), option, entry))
                continue
            network = _parse_network(entry, option)
            if network is not None:
                networks.append(network)
            else:
                names.add(_parse_name(entry, option, entry))
        return cls(frozenset(names), tuple(suffixes), tuple(networks))

    def __bool__(self) -> bool:
        return bool(self.names or self.suffixes or self.networks)

    def has_name(self, host: str) -> bool:
        """Tell whether ``host`` is listed by name or lies below a listed suffix."""
        return host in self.names or host.endswith(self.suffixes)

    def has_address(self, address: Address) -> bool:
        """Tell whether ``address``, or the address that it wraps, lies in a listed network."""
        forms = {address, addresses.unwrap(address)}
        return any(
            form.version == network.version and form in network
            for network in self.networks
            for form in forms
        )


NO_HOSTS = HostList()


@dataclasses.dataclass(frozen=True)
class UrlFilter:
    """The rules of ``[import_filtering_opts]``, parsed. Safe to share between threads.

    ``resolve`` asks for the addresses of a name; see :data:`resolver.Resolver`.
    """

    allowed_schemes: frozenset[str] = SPOKEN_SCHEMES
    disallowed_schemes: frozenset[str] = frozenset()
    allowed_hosts: HostList = NO_HOSTS
    disallowed_hosts: HostList = NO_HOSTS
    permitted_networks: HostList = NO_HOSTS
    allowed_ports: frozenset[int] = frozenset({80, 443})
    disallowed_ports: frozenset[int] = frozenset()
    resolve_timeout_seconds: float = 5.0
    resolve: resolver.Resolver = resolver.resolve

    @classmethod
    def from_conf(
        cls, conf: cfg.ConfigOpts, resolve: resolver.Resolver = resolver.resolve
    ) -> UrlFilter:
        """Read and check the options; log a warning for lists that contradict each other.

        :raises ConfigError: naming the option that cannot be used.
        """
        group = conf[import_filtering.GROUP]
        permitted = HostList.parse(group.permitted_networks, 'permitted_networks')
        if permitted.names or permitted.suffixes:
            raise ConfigError(f'{SECTION} permitted_networks takes only addresses and networks.')
        schemes = frozenset(scheme.lower() for scheme in group.allowed_schemes)
        for scheme in sorted(schemes - SPOKEN_SCHEMES):
            LOG.warning('%s allowed_schemes: %s is not a scheme that is spoken', SECTION, scheme)
        for what in ('schemes', 'hosts', 'ports'):
            _warn_of_both(what, group[f'allowed_{what}'], group[f'disallowed_{what}'])
        return cls(
            allowed_schemes=schemes or SPOKEN_SCHEMES,
            disallowed_schemes=frozenset(scheme.lower() for scheme in group.disallowed_schemes),
            allowed_hosts=HostList.parse(group.allowed_hosts, 'allowed_hosts'),
            disallowed_hosts=HostList.parse(group.disallowed_hosts, 'disallowed_hosts'),
            permitted_networks=permitted,
            allowed_ports=frozenset(group.allowed_ports),
            disallowed_ports=frozenset(group.disallowed_ports),
            resolve_timeout_seconds=group.resolve_timeout,
            resolve=resolve,
        )

    def check_url(self, url: object) -> CheckedUrl:
        """Judge a URL as it is written, without asking DNS.

        :raises UrlRefused: when it is malformed, ambiguous or not permitted.
        """
        try:
            checked = urls.parse_url(url)
        except urls.UrlSyntaxError as error:
            raise UrlRefused(urls.mask_url(url), str(error)) from None
        self._check_scheme(checked)
        if checked.address is not None:
            self._check_address(checked, checked.address)
        else:
            self._check_name(checked)
        self._check_port(checked)
        return checked

    def check_resolved(self, url: object, *, must_resolve: bool = True) -> CheckedUrl:
        """Judge a URL as it is written and by what its host resolves to now.

        Takes up to the resolve timeout. Nothing is connected to.

        :param must_resolve: refuse a name without an address. False where only a proxy may be able
            to resolve it.
        :raises UrlRefused: when it is not permitted; retryable when the name had no answer in time.
        """
        checked = self.check_url(url)
        try:
            self.permitted_addresses(checked)
        except resolver.NameNotResolved as error:
            if must_resolve:
                when = ' at the moment; try again later' if error.temporary else ''
                raise UrlRefused(
                    checked.masked,
                    f'its host {checked.host} cannot be resolved{when}',
                    retryable=error.temporary,
                ) from error
        return checked

    def permitted_addresses(
        self, checked: CheckedUrl, should_stop: Callable[[], None] = lambda: None
    ) -> list[Address]:
        """Resolve the host of a checked URL once, and return its addresses if all are permitted.

        :param should_stop: called several times a second while waiting; it raises to give up.
        :raises UrlRefused: when one of the addresses is not permitted.
        :raises NameNotResolved: when there are none.
        """
        if checked.address is not None:
            self._check_address(checked, checked.address)
            return [checked.address]
        found = self.resolve(checked.host, self.resolve_timeout_seconds, should_stop)
        for address in found:
            self._check_address(checked, address)
        if not found:
            raise resolver.NameNotResolved(checked.host, temporary=False)
        return found

    def judge_address(self, checked: CheckedUrl, address: Address) -> str:
        """Return why an address of the host of a checked URL is permitted, as a clause.

        :raises UrlRefused: it is not.
        """
        return self._check_address(checked, address)

    def _check_scheme(self, checked: CheckedUrl) -> None:
        scheme = checked.scheme
        if scheme in self.disallowed_schemes:
            raise UrlRefused(
                checked.masked, f'its scheme {scheme} is in {SECTION} disallowed_schemes'
            )
        if scheme not in self.allowed_schemes:
            raise UrlRefused(
                checked.masked, f'its scheme {scheme} is not in {SECTION} allowed_schemes'
            )
        if scheme not in SPOKEN_SCHEMES:
            raise UrlRefused(checked.masked, f'its scheme {scheme} is neither http nor https')

    def _check_port(self, checked: CheckedUrl) -> None:
        if checked.port in self.disallowed_ports:
            raise UrlRefused(
                checked.masked, f'its port {checked.port} is in {SECTION} disallowed_ports'
            )
        if self.allowed_ports and checked.port not in self.allowed_ports:
            raise UrlRefused(
                checked.masked, f'its port {checked.port} is not in {SECTION} allowed_ports'
            )

    def _check_name(self, checked: CheckedUrl) -> None:
        host = checked.host
        if self.disallowed_hosts.has_name(host):
            raise UrlRefused(checked.masked, f'its host {host} is in {SECTION} disallowed_hosts')
        allowed = self.allowed_hosts
        if allowed and not allowed.has_name(host) and not allowed.networks:
            raise UrlRefused(checked.masked, f'its host {host} is not in {SECTION} allowed_hosts')

    def _check_address(self, checked: CheckedUrl, address: Address) -> str:
        host, allowed = checked.host, self.allowed_hosts
        if self.disallowed_hosts.has_address(address):
            raise UrlRefused(checked.masked, f'its host {host} is in {SECTION} disallowed_hosts')
        if allowed.has_address(address):
            return f'{SECTION} allowed_hosts has it'
        if allowed and not allowed.has_name(host):
            raise UrlRefused(checked.masked, f'its host {host} is not in {SECTION} allowed_hosts')
        special = addresses.special_range(addresses.unwrap(address))
        if special is None:
            return 'it is public' + (f', and {SECTION} allowed_hosts has the name' * bool(allowed))
        if self.permitted_networks.has_address(address):
            return f'{SECTION} permitted_networks has it ({special.name} range)'
        if host in allowed.names and not special.guarded:
            return f'{SECTION} allowed_hosts has the name ({special.name} range)'
        verb = 'is' if checked.address is not None else 'has an address'
        raise UrlRefused(
            checked.masked,
            f'its host {host} {verb} in the {special.name} range {special.network}, '
            f'which {SECTION} permitted_networks does not name',
        )


def _parse_network(entry: str, option: str) -> Network | None:
    text = entry[1:-1] if entry.startswith('[') and entry.endswith(']') else entry
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        if '/' in text:
            raise ConfigError(
                f'{option}: {entry!r} is not a network in CIDR notation ({error}).'
            ) from None
        return None


def _parse_name(name: str, option: str, entry: str) -> str:
    try:
        host, address = urls.parse_host(name)
    except urls.UrlSyntaxError:
        host, address = '', None
    if not host or address is not None:
        raise ConfigError(
            f'{option}: {entry!r} is neither a host name, nor *.suffix, nor an address, '
            'nor a network in CIDR notation. Ports and schemes have options of their own.'
        )
    return host


def _warn_of_both(what: str, allowed: Iterable[object], disallowed: Iterable[object]) -> None:
    both = {str(entry).lower() for entry in allowed} & {str(entry).lower() for entry in disallowed}
    if both:
        LOG.warning(
            '%s allowed_%s and disallowed_%s both list %s: refused',
            SECTION,
            what,
            what,
            ', '.join(sorted(both)),
        )
