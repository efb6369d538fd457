# SPDX-License-Identifier: Apache-2.0
"""The service's own token for objects of the cloud's Swift that tasks read.

It goes to the hosts of ``[task] swift_hosts`` alone, and for the account of the caller's project
alone: else whoever may use tasks could read with the rights of the service what is another's.
"""

from __future__ import annotations

from collections.abc import Callable

from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading, session
from oslo_config import cfg
from oslo_log import log

from glance_lite import exceptions
from glance_lite.middleware import identity
from glance_lite.remote import swift_source, urls

LOG = log.getLogger(__name__)

_OPTION = '[task] swift_hosts'


class SwiftSignIn:
    """Gives the headers with which objects are read. May be used by many threads."""

    def __init__(
        self, hosts: frozenset[str], account_prefix: str, get_token: Callable[[], str | None]
    ) -> None:
        """Sign in by ``get_token`` when it is needed.

        :param hosts: as in URLs, with the port where it is not that of the scheme.
        :param account_prefix: what stands before the project's id in the name of its account.
        """
        self._hosts = hosts
        self._account_prefix = account_prefix
        self._get_token = get_token

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> SwiftSignIn | None:
        """Return what ``[task] swift_hosts`` asks for; None if it names none. Nobody is asked yet.

        :raises ConfigError: a host is malformed, or it is not said how the service signs in.
        """
        task = conf.task
        if not task.swift_hosts:
            return None
        hosts = frozenset(_host(text, task.swift_scheme) for text in task.swift_hosts)
        identity.register_sign_in_opts(conf)
        group = conf[identity.GROUP]
        if not (group.auth_type or group.auth_section):
            raise exceptions.ConfigError(
                f'{_OPTION} is set, but [{identity.GROUP}] auth_type is not, so the service cannot '
                'sign in.'
            )
        try:
            auth = loading.load_auth_from_conf_options(conf, identity.GROUP)
        except keystone_errors.ClientException as error:
            raise exceptions.ConfigError(f'[{identity.GROUP}] cannot be used: {error}') from error
        found = session.Session(
            auth=auth,
            verify=False if group.insecure else group.cafile or True,
            timeout=group.http_connect_timeout or identity.KEYSTONE_TIMEOUT_SECONDS,
        )
        return cls(hosts, task.swift_account_prefix, found.get_token)

    def headers(self, source: str, uri: str, project: str | None) -> dict[str, str]:
        """Return the secret headers for an object; none where everybody must be able to read it.

        :param source: the ``swift://`` URL.
        :param uri: that under which it is fetched.
        :raises ImportFailed: Keystone does not give the service a token.
        """
        account = swift_source.account_of(source)
        if project is None or account != self._account_prefix + project:
            return {}
        if urls.parse_url(uri).netloc not in self._hosts:
            return {}
        try:
            token = self._get_token()
        except keystone_errors.ClientException as error:
            LOG.error('The service cannot sign in to read from Swift: %s', error)
            token = None
        if token is None:
            raise exceptions.ImportFailed(
                'source_unreachable',
                f'The service could not sign in to read {urls.mask_url(source)}.',
            )
        return {'X-Auth-Token': token}


def _host(text: str, scheme: str) -> str:
    try:
        found = urls.parse_url(f'{scheme}://{text}/')
    except urls.UrlSyntaxError as error:
        raise exceptions.ConfigError(f'{_OPTION}: {text!r} is no host: {error}.') from error
    if found.target != '/' or found.authorization is not None:
        raise exceptions.ConfigError(f'{_OPTION}: {text!r} must be a host, or host:port.')
    return found.netloc
