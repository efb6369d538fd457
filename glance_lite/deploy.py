# SPDX-License-Identifier: Apache-2.0
"""Put the parts together: the services of a process, its application, and its conductor.

Whatever cannot work stops here, with a sentence that names the option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from oslo_config import cfg
from oslo_log import log
from oslo_middleware import cors, healthcheck, http_proxy_to_wsgi
from oslo_middleware.healthcheck import opts as health_opts
from oslo_policy import opts as policy_opts

from glance_lite.api import routes
from glance_lite.api.handlers.versions import VersionGate
from glance_lite.api.wsgi import Application, allow_reading
from glance_lite.conf import opts as conf_opts
from glance_lite.db import schema
from glance_lite.db.engine import Database
from glance_lite.image_import.plugins import inject_image_metadata
from glance_lite.image_properties import ImageProperties
from glance_lite.jobs.announcer import Announcer
from glance_lite.metrics import meter_for
from glance_lite.middleware import identity
from glance_lite.middleware.context import ContextMiddleware
from glance_lite.middleware.envelope import Envelope
from glance_lite.notifications import notifier_for
from glance_lite.plugin import loader
from glance_lite.policy import Policy
from glance_lite.property_protection import PropertyProtection, warn_of_unprotected
from glance_lite.receiving import Receiving
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.services import Rules, Services
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import StagingArea
from glance_lite.swift_sign_in import SwiftSignIn
from glance_lite.unified_limits import UnifiedLimits

if TYPE_CHECKING:
    from glance_lite.conductor.conductor import ImportConductor

LOG = log.getLogger(__name__)

#: What a WSGI server calls.
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def build_services(conf: cfg.ConfigOpts) -> Services:
    """Build what handlers and steps work with.

    :raises ConfigError: a part cannot be built; the message names the option.
    """
    meter = meter_for(conf)  # before anything else that may use the same library
    db = Database.from_conf(conf)
    schema.require_current(db)
    services = Services(
        rules=build_rules(conf),
        db=db,
        stores=StoreRegistry.from_conf(conf),
        staging=StagingArea.from_conf(conf),
        policy=Policy.from_conf(conf),
        receiving=Receiving(db),
        announcer=Announcer.from_conf(conf, db),
        meter=meter,
        notifier=notifier_for(conf),
        unified_limits=UnifiedLimits.from_conf(conf),
    )
    LOG.info('Import plugins in order: %s', ', '.join(services.plugins.names) or 'none')
    if inject_image_metadata.InjectImageMetadata.name in services.plugins.names:
        injected = inject_image_metadata.injected(conf)
        warn_of_unprotected(services.rules.protection, injected)
    return services


def build_rules(conf: cfg.ConfigOpts) -> Rules:
    """Build what a running service replaces when its configuration is read again.

    :raises ConfigError: a part cannot be built; the message names the option.
    """
    protection = PropertyProtection.from_conf(conf)
    if protection is not None and (rules := protection.policy_rules()):
        Policy.from_conf(conf).require_known(rules, 'property_protection_file')
    return Rules(
        conf=conf,
        plugins=loader.load_plugins(conf),
        url_filter=UrlFilter.from_conf(conf),
        http_options=HttpOptions.from_conf(conf),
        protection=protection,
        swift=SwiftSignIn.from_conf(conf),
        properties=ImageProperties.from_conf(conf),
    )


def loadapp(
    conf: cfg.ConfigOpts,
    services: Services | None = None,
    identify: identity.Identify | None = None,
) -> WsgiApp:
    """Return the WSGI application. From the outside in:

    1. envelope: request id, log line, last-resort fault; around all that may fail
    2. CORS and proxy headers, each only where its option asks for it: they change what follows
    3. ``/healthcheck``, then versions: both are asked before a client has a token
    4. token check (only with Keystone), then the caller's context
    5. the API

    :param identify: tells who asks, in place of what ``auth_strategy`` says.
    :raises ConfigError: a part cannot be built; the message names the option.
    """
    register_opts(conf)
    services = services or build_services(conf)
    if conf.show_multiple_locations:
        LOG.warning(
            'show_multiple_locations is on: users see and change where data rests. Services have '
            '/v2/images/<id>/locations instead.'
        )
    app: WsgiApp = Application(services, routes.table(conf.enable_image_import))
    app = _identified(app, conf, services, identify)
    app = _HealthGate(VersionGate(app, conf), allow_reading(healthcheck.Healthcheck(None, conf)))
    if conf.oslo_middleware.enable_proxy_headers_parsing:
        app = http_proxy_to_wsgi.HTTPProxyToWSGI(app, conf)
    if conf.cors.allowed_origin:
        app = cors.CORS(app, conf)
    return Envelope(app, conf.max_request_id_length, services.meter)


def load_conductor(conf: cfg.ConfigOpts, services: Services | None = None) -> ImportConductor:
    """Return a conductor that is ready to run imports.

    :raises ConfigError: a part cannot be built; the message names the option.
    """
    from glance_lite.conductor.conductor import ImportConductor  # TaskFlow is slow to import

    return ImportConductor(services or build_services(conf))


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register what the libraries of the application read.

    ``/healthcheck`` answers 503 while the file ``disable_by_file_path`` exists.
    """
    for group, options in policy_opts.list_opts():
        conf.register_opts(options, group=group)
    identity.register_sign_in_opts(conf)
    conf.register_opts(http_proxy_to_wsgi.OPTS, group='oslo_middleware')
    conf.register_opts(cors.CORS_OPTS, group='cors')
    for opts in (health_opts.HEALTHCHECK_OPTS, health_opts.DISABLE_BY_FILE_OPTS):
        conf.register_opts(opts, group='healthcheck')
    for name, value in conf_opts.HEALTH_DEFAULTS.items():
        conf.set_default(name, value, group='healthcheck')
    for name, value in conf_opts.CORS_DEFAULTS.items():
        conf.set_default(name, value, group='cors')


class _HealthGate:
    """Answers ``/healthcheck`` before anything else is asked."""

    def __init__(self, app: WsgiApp, health: WsgiApp) -> None:
        self._app = app
        self._health = health

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        chosen = self._health if environ.get('PATH_INFO') == '/healthcheck' else self._app
        return chosen(environ, start_response)


def _identified(
    app: WsgiApp, conf: cfg.ConfigOpts, services: Services, identify: identity.Identify | None
) -> WsgiApp:
    if identify is not None:
        return ContextMiddleware(app, identify, services.policy.is_admin)
    if identity.strategy(conf) == 'none':
        return ContextMiddleware(app, identity.identify_local, services.policy.is_admin)
    found = identity.identify_by_keystone(conf.allow_anonymous_access)
    inner = ContextMiddleware(app, found, services.policy.is_admin)
    return identity.wrap_with_keystone(inner, conf)
