# SPDX-License-Identifier: Apache-2.0
"""What this deployment offers: import methods and stores."""

from __future__ import annotations

from typing import Any

from glance_lite.api.wsgi import Reply, Request


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
