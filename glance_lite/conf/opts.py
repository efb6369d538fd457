# SPDX-License-Identifier: Apache-2.0
"""All options together: registering them on a conf, and the lists for the sample files.

Options of stores and plugins stand beside their classes; they join when those are loaded.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_log import log

from glance_lite.conf import (
    api,
    default,
    deletion,
    image_import,
    import_filtering,
    metrics,
    notifications,
    web_download,
)

#: Files read when none is named, from the first directory that has them.
API_CONF = 'glance-api.conf'
IMPORT_CONF = 'glance-image-import.conf'
#: Our defaults of ``[healthcheck]``: while this file exists the check answers 503, and load
#: balancers look elsewhere.
HEALTH_DEFAULTS = {
    'backends': ['disable_by_file'],
    'disable_by_file_path': '/etc/glance-lite/healthcheck_disable',
}
#: Our defaults of ``[cors]``: what a page needs to use the whole API.
CORS_DEFAULTS = {
    'allow_methods': ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    'allow_headers': [
        'X-Auth-Token',
        'X-Service-Token',
        'X-OpenStack-Request-ID',
        'X-OpenStack-Image-Size',
        'X-Image-Meta-Store',
        'Content-Range',
        'Range',
    ],
    'expose_headers': [
        'X-OpenStack-Request-ID',
        'OpenStack-image-import-methods',
        'OpenStack-image-import-task-id',
        'OpenStack-image-store-ids',
        'Accept-Ranges',
        'Content-MD5',
        'Content-Range',
        'Location',
        'Retry-After',
    ],
}

_MODULES = (
    default,
    api,
    image_import,
    import_filtering,
    web_download,
    metrics,
    notifications,
    deletion,
)


def register_all(conf: cfg.ConfigOpts) -> None:
    """Register every option of the core on ``conf``."""
    for module in _MODULES:
        module.register_opts(conf)


def list_api_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return what ``etc/glance-api.conf.sample`` shows."""
    return [
        (group, opts)
        for module in _MODULES
        for group, opts in module.list_opts()
        if group not in _IMPORT_GROUPS
    ]


def list_import_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return what ``etc/glance-image-import.conf.sample`` shows of the core."""
    return [
        (group, opts)
        for module in _MODULES
        for group, opts in module.list_opts()
        if group in _IMPORT_GROUPS
    ]


def register_logging(conf: cfg.ConfigOpts) -> None:
    """Register oslo.log's options with levels that keep libraries quiet."""
    log.register_options(conf)
    log.set_defaults(
        default_log_levels=[
            *log.get_default_log_levels(),
            'alembic=WARNING',
            'taskflow=WARNING',
            'glance_lite.conductor.taskflow=ERROR',
        ]
    )


def literal(value: Any) -> Any:
    """Write a value so that oslo.config does not replace ``$name`` in it once more."""
    if isinstance(value, str):
        return value.replace('$', '$$')
    if isinstance(value, list):
        return [literal(item) for item in value]
    if isinstance(value, dict):
        return {literal(key): literal(item) for key, item in value.items()}
    return value


_IMPORT_GROUPS = frozenset({'image_import_opts', 'import_filtering_opts'})
