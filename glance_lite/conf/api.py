# SPDX-License-Identifier: Apache-2.0
"""Options of ``[api]`` and ``[paste_deploy]``: who may call, and how requests are run."""

from __future__ import annotations

from oslo_config import cfg

API = [
    cfg.StrOpt(
        'auth_strategy',
        choices=[
            ('keystone', 'Tokens are checked by Keystone, see [keystone_authtoken].'),
            ('none', 'Everybody who reaches the port is the administrator of one project.'),
        ],
        help='How callers are identified. Unset: keystone when [paste_deploy] flavor names it or '
        '[keystone_authtoken] has an auth_url, otherwise none.',
    ),
    cfg.BoolOpt(
        'allow_unauthenticated_network',
        default=False,
        help='Listen beyond loopback although nobody is identified: whoever reaches the port may '
        'then do everything.',
    ),
    cfg.IntOpt('request_threads', default=32, min=1, help='Threads for requests, per worker.'),
    cfg.IntOpt(
        'body_threads',
        default=1100,
        min=1,
        help='Uploads under way at once, per worker. More get 503 and Retry-After.',
    ),
    cfg.IntOpt(
        'graceful_shutdown_timeout',
        default=60,
        min=0,
        help='Seconds that running requests and imports have to end after SIGTERM.',
    ),
]

PASTE_DEPLOY: list[cfg.Opt] = [
    cfg.StrOpt(
        'flavor',
        help="Glance's way to choose the pipeline. A flavor with keystone in its name turns "
        'Keystone on; any other turns it off.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[api]`` and ``[paste_deploy]`` on ``conf``."""
    for group, opts in list_opts():
        conf.register_opts(opts, group=group)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for the sample generator."""
    return [('api', API), ('paste_deploy', PASTE_DEPLOY)]
