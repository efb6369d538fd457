# SPDX-License-Identifier: Apache-2.0
"""What this deployment offers: import methods, stores, and how much of them to a project."""

from __future__ import annotations

from typing import Any

from glance_lite import quotas
from glance_lite.api import views
from glance_lite.api.wsgi import Reply, Request
from glance_lite.domain import quota


def get_import_methods(request: Request) -> Reply:
    """``GET /v2/info/import``: show the import methods that users may choose."""
    return Reply(
        data={
            'import-methods': {
                'description': 'Import methods available.',
                'type': 'array',
                'value': list(request.services.conf.enabled_import_methods),
            }
        }
    )


def list_stores(request: Request) -> Reply:
    """``GET /v2/info/stores``: show the stores; their marks are strings, as clients expect."""
    return Reply(data={'stores': _describe_stores(request)})


def list_stores_detail(request: Request) -> Reply:
    """``GET /v2/info/stores/detail``: show the stores with type, weight and properties."""
    services = request.services
    services.policy.require(request.context, 'stores_info_detail', {})
    kinds = dict(services.conf.enabled_backends) or {services.stores.default_id: 'file'}
    shown = _describe_stores(request)
    for entry in shown:
        store = services.stores.get(entry['id'])
        entry.update(type=kinds[entry['id']], weight=store.weight, properties=store.properties())
    return Reply(data={'stores': shown})


def get_usage(request: Request) -> Reply:
    """``GET /v2/info/usage``: show what the caller's project has, and what it may have.

    Nothing where nothing is limited. Sizes in MiB: of what is used, parts count as whole ones.
    """
    services, project = request.services, request.context.project_id
    if project is None:
        return Reply(data={'usage': {}})
    limits = services.limits_of(project, *quota.RESOURCES)
    if services.unified_limits is None and not limits:
        return Reply(data={'usage': {}})
    used = services.db.read(lambda session: quotas.used(session, project))
    return Reply(data={'usage': views.usage(limits, used)})


def _describe_stores(request: Request) -> list[dict[str, Any]]:
    stores = request.services.stores
    shown = []
    for store in stores:
        entry: dict[str, Any] = {'id': store.store_id}
        if store.description:
            entry['description'] = store.description
        if store.store_id == stores.default_id:
            entry['default'] = 'true'
        if store.read_only:
            entry['read-only'] = 'true'
        shown.append(entry)
    return shown
