# SPDX-License-Identifier: Apache-2.0
"""Who is asking: Keystone's answer about the token, or the one local administrator.

Tokens are checked by keystonemiddleware, which leaves its findings in ``X-...`` headers that it
removes from what the client sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keystoneauth1 import loading
from keystonemiddleware import auth_token
from keystonemiddleware import opts as auth_opts
from oslo_config import cfg

from glance_lite.context import RequestContext

GROUP = 'keystone_authtoken'
#: Everybody's identity where ``auth_strategy`` is ``none``. Fixed for ever: images belong to it.
LOCAL_PROJECT_ID = 'local'
LOCAL_USER_ID = 'local'

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


def wrap_with_keystone(app: Any, conf: cfg.ConfigOpts) -> Any:
    """Return ``app`` behind Keystone's token check, which lets the unknown pass as such."""
    return auth_token.AuthProtocol(
        app, {'oslo_config_config': conf, 'delay_auth_decision': True}
    )


def identify_by_keystone(allow_anonymous: bool) -> Identify:
    """Return a function that reads what the token check found.

    :param allow_anonymous: let requests without a token read what anybody may see.
    """

    def identify(environ: dict[str, Any], request_id: str) -> RequestContext | None:
        if environ.get('HTTP_X_IDENTITY_STATUS') == 'Confirmed':
            caller = RequestContext.from_environ(environ, request_id=request_id)
            caller.service_roles = [
                role.strip().lower()
                for role in environ.get('HTTP_X_SERVICE_ROLES', '').split(',') if role.strip()
            ]
            return caller
        if allow_anonymous:
            return RequestContext(roles=['reader'], read_only=True, request_id=request_id)
        return None

    return identify


def identify_local(environ: dict[str, Any], request_id: str) -> RequestContext:
    """Return the local administrator, whoever asks and whatever headers they send."""
    return RequestContext(
        user_id=LOCAL_USER_ID, project_id=LOCAL_PROJECT_ID,
        roles=['admin', 'member', 'reader'], request_id=request_id,
    )
