# SPDX-License-Identifier: Apache-2.0
"""Who is asking: Keystone's answer about the token, or the one local administrator.

Tokens are checked by keystonemiddleware, which leaves its findings in ``X-...`` headers that it
removes from what the client sent. Where it takes a Keystone that cannot be asked for a wrong token,
we say 503: a client that is told 401 would throw a good token away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading
from keystonemiddleware import auth_token
from keystonemiddleware import opts as auth_opts
from oslo_config import cfg
from oslo_log import log

from glance_lite import exceptions
from glance_lite.context import RequestContext
from glance_lite.middleware import fault

LOG = log.getLogger(__name__)

GROUP = 'keystone_authtoken'
#: Everybody's identity where ``auth_strategy`` is ``none``. Fixed for ever: images belong to it.
LOCAL_PROJECT_ID = 'local'
LOCAL_USER_ID = 'local'

#: Seconds that Keystone may take for an answer, unless ``http_connect_timeout`` says otherwise.
#: The library's own default is for ever, which would let it hold every thread of the service.
KEYSTONE_TIMEOUT_SECONDS = 10

#: From a WSGI environment and a request id to the caller; None when nobody is identified.
Identify = Callable[[dict[str, Any], str], RequestContext | None]


def strategy(conf: cfg.ConfigOpts) -> str:
    """Return ``keystone`` or ``none``, as ``[api] auth_strategy`` says or the rest implies."""
    if conf.api.auth_strategy:
        return str(conf.api.auth_strategy)
    flavor = conf.paste_deploy.flavor
    if flavor:
        return 'keystone' if 'keystone' in flavor.split('+') else 'none'
    register_opts(conf)
    group = conf[GROUP]
    return 'keystone' if group.auth_url or group.www_authenticate_uri else 'none'


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[keystone_authtoken]`` with ``auth_url``, for looking whether it is used."""
    for _, options in auth_opts.list_auth_token_opts():
        conf.register_opts(options, group=GROUP)
    url = [
        opt for opt in loading.get_auth_plugin_conf_options('password') if opt.dest == 'auth_url'
    ]
    conf.register_opts(url, group=GROUP)


def register_sign_in_opts(conf: cfg.ConfigOpts) -> None:
    """Register how the service itself signs in, as keystonemiddleware does once it is built."""
    register_opts(conf)
    kind = conf[GROUP].auth_type
    with contextlib.suppress(keystone_errors.ClientException):  # the start refuses a wrong one
        conf.register_opts(loading.get_auth_plugin_conf_options(kind or 'password'), group=GROUP)


def wrap_with_keystone(app: Any, conf: cfg.ConfigOpts) -> Any:
    """Return ``app`` behind Keystone's token check, which lets the unknown pass as such.

    While Keystone cannot be asked, a request with a token is answered 503.

    :raises ConfigError: the options do not say how to ask Keystone.
    """
    register_opts(conf)
    conf.set_default('http_connect_timeout', KEYSTONE_TIMEOUT_SECONDS, group=GROUP)
    # by which application credentials name the calls that they are for
    conf.set_default('service_type', 'image', group=GROUP)
    if not (conf[GROUP].auth_type or conf[GROUP].auth_section):
        raise exceptions.ConfigError(
            f'[{GROUP}] auth_type is not set, so no token could be checked. Set auth_type = '
            'password with auth_url, username, password and project_name, or [api] auth_strategy.'
        )
    try:
        check = _TokenCheck(app, {'oslo_config_config': conf, 'delay_auth_decision': True})
    except keystone_errors.ClientException as error:
        raise exceptions.ConfigError(f'[{GROUP}] cannot be used: {error}') from error

    def checked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            answer: Iterable[bytes] = check(environ, start_response)
            return answer
        except _KeystoneAway as error:
            LOG.error('%s: Keystone cannot be asked: %s', environ.get(fault.REQUEST_ID), error)
            line, headers, body = fault.render_unavailable(
                environ, 'Tokens cannot be checked: the identity service does not answer.'
            )
            start_response(line, headers)
            return [body]

    return checked


class _KeystoneAway(Exception):
    """Keystone does not answer, or does not let the service ask."""


class _TokenCheck(auth_token.AuthProtocol):
    """The library's check, which tells a Keystone that cannot be asked from a wrong token."""

    #: What the library turns into a wrong token when the decision is left to the application.
    _AWAY = (
        keystone_errors.ConnectFailure,
        keystone_errors.DiscoveryFailure,
        keystone_errors.RequestTimeout,
        auth_token.ServiceError,
    )

    def fetch_token(self, token: str, allow_expired: bool = False) -> Any:
        """Return what Keystone knows about a token; errors as the library's, and _KeystoneAway."""
        try:
            return super().fetch_token(token, allow_expired)
        except auth_token.InvalidToken as error:
            if isinstance(error.__context__, self._AWAY):
                raise _KeystoneAway(str(error.__context__)) from error
            raise
        except keystone_errors.ClientException as error:
            raise _KeystoneAway(str(error)) from error


def identify_by_keystone(allow_anonymous: bool) -> Identify:
    """Return a function that reads what the token check found.

    :param allow_anonymous: let requests without a token read what anybody may see.
    """

    def identify(environ: dict[str, Any], request_id: str) -> RequestContext | None:
        if environ.get('HTTP_X_IDENTITY_STATUS') == 'Confirmed':
            caller = RequestContext.from_environ(environ, request_id=request_id)
            caller.service_roles = [
                role.strip().lower()
                for role in environ.get('HTTP_X_SERVICE_ROLES', '').split(',')
                if role.strip()
            ]
            return caller
        if allow_anonymous:
            return RequestContext(roles=['reader'], read_only=True, request_id=request_id)
        return None

    return identify


def identify_local(environ: dict[str, Any], request_id: str) -> RequestContext:
    """Return the local administrator, whoever asks and whatever headers they send."""
    return RequestContext(
        user_id=LOCAL_USER_ID,
        project_id=LOCAL_PROJECT_ID,
        roles=['admin', 'member', 'reader'],
        request_id=request_id,
    )
