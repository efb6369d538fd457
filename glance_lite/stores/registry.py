# SPDX-License-Identifier: Apache-2.0
"""The configured stores, found by type in the entry point namespace ``glance_lite.stores``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from oslo_config import cfg
from stevedore import extension

from glance_lite import exceptions
from glance_lite.stores import base

NAMESPACE = 'glance_lite.stores'
#: Ids that Glance keeps for staging and tasks; they are not stores of images.
RESERVED_IDS = ('os_glance_staging_store', 'os_glance_tasks_store')

OPTS = [
    cfg.StrOpt('default_backend', help='Id of the store that takes data when nobody chose one.'),
]


class _InStore(Protocol):
    store: str


_Place = TypeVar('_Place', bound=_InStore)


class StoreRegistry:
    """All stores of this service, in the order of the configuration."""

    def __init__(self, stores: Iterable[base.Store], default_id: str) -> None:
        self._stores = {store.store_id: store for store in stores}
        self.default_id = default_id

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> StoreRegistry:
        """Build every configured store.

        :raises ConfigError: a type is unknown, an id reserved, or a store cannot be used.
        """
        default_id = choose_default(conf)
        wanted = dict(conf.enabled_backends)
        if not wanted:
            # one store without a section of its own, configured in [glance_store]
            return cls([_build('file', 'file', 'glance_store', conf)], default_id)
        stores = [_build(store_id, kind, store_id, conf) for store_id, kind in wanted.items()]
        registry = cls(stores, default_id)
        if registry.default.read_only:
            raise exceptions.ConfigError(
                f'[glance_store] default_backend: the store {default_id} is read-only.'
            )
        return registry

    def __iter__(self) -> Iterator[base.Store]:
        return iter(self._stores.values())

    def __contains__(self, store_id: str) -> bool:
        return store_id in self._stores

    @property
    def ids(self) -> list[str]:
        """Ids of all stores."""
        return list(self._stores)

    @property
    def default(self) -> base.Store:
        """The store that takes data when nobody chose one."""
        return self._stores[self.default_id]

    def get(self, store_id: str) -> base.Store:
        """Return a store.

        :raises StoreNotFound: none has this id.
        """
        try:
            return self._stores[store_id]
        except KeyError:
            raise exceptions.StoreNotFound(
                f"There is no store '{store_id}'; the stores are: {', '.join(self._stores)}."
            ) from None

    def for_external(self, scheme: str) -> base.Store | None:
        """Return the first store that takes URLs of this scheme for data it did not write."""
        return next((store for store in self if scheme in store.external_schemes), None)

    def by_weight(self, places: Iterable[_Place], preferred: Sequence[str] = ()) -> list[_Place]:
        """Return places of one image's data, those to read from first at the front.

        Preferred stores come in their order, the others by weight; a store that is not configured
        comes last.
        """

        def rank(place: _Place) -> tuple[int, float]:
            if place.store in preferred:
                return preferred.index(place.store), 0
            store = self._stores.get(place.store)
            return len(preferred), -store.weight if store else float('inf')

        return sorted(places, key=rank)


def choose_default(conf: cfg.ConfigOpts) -> str:
    """Return the id of the store that takes data when nobody chose one. Builds none.

    :raises ConfigError: an id is reserved, or the default store is none of the stores.
    """
    wanted = dict(conf.enabled_backends)
    for store_id in wanted:
        if store_id.startswith('os_glance_'):
            raise exceptions.ConfigError(
                f'enabled_backends: the id {store_id} is reserved for the service.'
            )
    if not wanted:
        return 'file'
    default_id: str | None = conf.glance_store.default_backend
    if default_id is None and len(wanted) == 1:
        default_id = next(iter(wanted))
    if default_id is None or default_id not in wanted:
        raise exceptions.ConfigError(
            f'[glance_store] default_backend must be one of {", ".join(wanted)}, not {default_id}.'
        )
    return default_id


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[glance_store]`` on ``conf``; a store's own options follow when it is built."""
    conf.register_opts(OPTS, group='glance_store')


def register_store_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of every configured store, so that they can be checked by name."""
    for store_id, kind in (dict(conf.enabled_backends) or {'glance_store': 'file'}).items():
        conf.register_opts(_load(kind).list_opts(), group=store_id)


def _build(store_id: str, kind: str, group: str, conf: cfg.ConfigOpts) -> base.Store:
    store_class = _load(kind)
    conf.register_opts(store_class.list_opts(), group=group)
    return store_class(store_id, conf, group)


def _load(kind: str) -> type[base.Store]:
    manager: Any = extension.ExtensionManager(
        NAMESPACE, on_load_failure_callback=lambda *args: None
    )
    names = sorted(manager.names())
    if kind in names:
        plugin: type[base.Store] = manager[kind].plugin
        return plugin
    close = difflib.get_close_matches(kind, names, 1)
    hint = f' Did you mean {close[0]}?' if close else ''
    raise exceptions.ConfigError(
        f"enabled_backends: there is no store type '{kind}'; installed: {', '.join(names)}.{hint}"
    )
