# SPDX-License-Identifier: Apache-2.0
"""Keystone's unified limits, read through oslo.limit: what each project may have.

oslo.limit looks into the global configuration of oslo.config, which is the one that the programs
hand over, and signs in with ``[oslo_limit]``. It is imported only where it is used, as it is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading
from oslo_config import cfg
from oslo_log import log

from glance_lite import exceptions
from glance_lite.domain import quota
from glance_lite.domain.quota import Limit, Limits

LOG = log.getLogger(__name__)

GROUP = 'oslo_limit'
#: Seconds that Keystone may take for an answer, unless ``timeout`` says otherwise.
TIMEOUT_SECONDS = 10

#: From a project and names of resources to the most of each, as registered; below 0: any number.
Fetch = Callable[[str, list[str]], dict[str, int]]


class UnifiedLimits:
    """The limits of projects. They are asked for each time, so a change holds at once."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> UnifiedLimits | None:
        """Return what ``use_keystone_limits`` asks for; None if it does not. Nobody is asked yet.

        :raises ConfigError: the options do not say how to ask Keystone, or for which service.
        """
        if not conf.use_keystone_limits:
            return None
        register_opts(conf)
        group = conf[GROUP]
        if not (group.auth_type or group.auth_section):
            raise exceptions.ConfigError(
                f'use_keystone_limits is set, but not [{GROUP}] auth_type. Set auth_type = '
                'password with auth_url, username, password and system_scope = all.'
            )
        if not (group.endpoint_id or group.endpoint_service_type or group.endpoint_service_name):
            raise exceptions.ConfigError(
                f'use_keystone_limits is set, but [{GROUP}] does not say for which service limits '
                'are registered: set endpoint_id, or endpoint_service_type and '
                'endpoint_region_name.'
            )
        try:
            loading.load_auth_from_conf_options(conf, GROUP)
        except keystone_errors.ClientException as error:
            raise exceptions.ConfigError(f'[{GROUP}] cannot be used: {error}') from error
        return cls(_Keystone())

    def of(self, project: str, wanted: Iterable[str]) -> Limits:
        """Return the limits of a project that are among ``wanted``, as ``domain.quota`` names them.

        What is not registered is not permitted at all, as oslo.limit has it.

        :raises ServiceUnavailable: Keystone cannot be asked.
        """
        names = {quota.RESOURCES[each][0]: each for each in wanted}
        found = self._fetch(project, sorted(names))
        limits: dict[str, Any] = {}
        for name, most in found.items():
            unit = quota.RESOURCES[names[name]][1]
            limits[names[name]] = Limit(name, most * unit) if most >= 0 else None
        return Limits(**limits)


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[oslo_limit]`` as oslo.limit does on the global configuration."""
    from oslo_limit import opts

    endpoint = {opt.dest: opt for opt in opts.list_opts()[0][1] if opt.dest.startswith('endpoint_')}
    del endpoint['endpoint_override']  # one of the adapter, registered below
    conf.register_opts(endpoint.values(), group=GROUP)
    loading.register_session_conf_options(conf, GROUP)
    loading.register_adapter_conf_options(conf, GROUP, include_deprecated=False)
    loading.register_auth_conf_options(conf, GROUP)
    conf.set_default('timeout', TIMEOUT_SECONDS, group=GROUP)
    if conf[GROUP].auth_type:
        try:
            found = loading.get_auth_plugin_conf_options(conf[GROUP].auth_type)
        except keystone_errors.ClientException:
            return  # the start refuses it, with a sentence
        conf.register_opts(found, group=GROUP)


class _Keystone:
    """Asks Keystone; it signs in when it is first asked."""

    def __init__(self) -> None:
        self._fetch: Fetch | None = None

    def __call__(self, project: str, names: list[str]) -> dict[str, int]:
        from openstack import exceptions as sdk_errors
        from oslo_limit import exception as limit_errors
        from oslo_limit import limit

        try:
            if self._fetch is None:
                # asked for numbers alone: usage is compared while bytes pass, and by conductors
                enforcer = limit.Enforcer(lambda *_: {}, cache=False)
                self._fetch = lambda *args: dict(enforcer.get_project_limits(*args))
            return self._fetch(project, names)
        except (
            keystone_errors.ClientException,
            sdk_errors.SDKException,
            limit_errors.SessionInitError,
            ValueError,  # no such endpoint or region
            NotImplementedError,  # limits of a model other than flat
        ) as error:
            LOG.error('The limits of project %s cannot be read: %s', project, error)
            raise exceptions.ServiceUnavailable(
                'The limits of the project cannot be read from the identity service; try again.'
            ) from error
