# SPDX-License-Identifier: Apache-2.0
"""Remove stored data that ``db.removals`` has notes of, and the notes when it is gone.

Used by the requests that make the notes and by janitors; when to try is theirs to decide.
"""

from __future__ import annotations

from collections.abc import Callable

from oslo_log import log

from glance_lite import exceptions
from glance_lite.db import ownership, removals
from glance_lite.db.engine import Database
from glance_lite.db.removals import Removal
from glance_lite.stores.base import Store
from glance_lite.stores.registry import StoreRegistry

LOG = log.getLogger(__name__)


def try_removal(db: Database, stores: StoreRegistry, removal: Removal) -> None:
    """Remove the data of a note at once; trouble is logged, and the note stays for janitors."""
    try:
        carry_out(db, stores, removal)
    except Exception as error:
        LOG.warning(
            'Image %s: its data in store %s is still to be removed: %s',
            removal.image_id,
            removal.store,
            error,
        )


def carry_out(db: Database, stores: StoreRegistry, removal: Removal) -> bool:
    """Remove the data of a note, and the note; False while an upload or import may need the data.

    :raises Exception: the store is not configured, is away, or refuses.
    """
    store = stores.get(removal.store)
    if not store.read_only:
        if removal.url is not None:
            remove(store, removal.url)
        elif not _remove_attempts(db, stores, store, removal.image_id):
            return False
    db.transact(lambda session: removals.done(session, removal))
    return True


def _remove_attempts(db: Database, stores: StoreRegistry, store: Store, image_id: str) -> bool:
    listed = store.list_data(image_id)
    found = None if listed is None else list(listed)
    # asked after the listing: what belongs to nobody now never will
    with db.reader() as session:
        owned = ownership.of(session, image_id)
    if owned.busy:
        return False
    if found is None:
        kept = [url for where, url in owned.places if where == store.store_id]
        store.discard_attempts(image_id, keep=kept[0] if kept else None)
        return True
    for data in found:
        if not belongs(data.url, store, stores, owned.places):
            remove(store, data.url)
    return True


def discard_attempts(
    store: Store,
    stores: StoreRegistry,
    image_id: str,
    places: Callable[[], set[tuple[str, str]]],
    confirm: Callable[[], object],
) -> None:
    """Remove what attempts at an image left in a store, but nothing of what the image owns.

    :param places: returns what it owns, pairs of store id and URL; asked after the listing.
    :param confirm: as in :meth:`Store.discard_attempts`.
    :raises StoreError: the store cannot be reached.
    """
    listed = store.list_data(image_id)
    if listed is None:
        kept = [url for where, url in places() if where == store.store_id]
        store.discard_attempts(image_id, keep=kept[0] if kept else None, confirm=confirm)
        return
    found = [data.url for data in listed]
    owned = places()
    left = [url for url in found if not belongs(url, store, stores, owned)]
    confirm()
    for url in left:
        remove(store, url)


def belongs(url: str, store: Store, stores: StoreRegistry, places: set[tuple[str, str]]) -> bool:
    """Tell whether data that a store lists is what one of these places of its image means.

    The name decides, not the whole URL, and an id that is no longer configured may be any store:
    images keep their data when the directory or the id of a store was changed.
    """
    name = name_of(url)
    return any(
        place == url
        or (name_of(place) == name and (where == store.store_id or where not in stores))
        for where, place in places
    )


def name_of(url: str) -> str:
    """Return the last part of a URL: image and attempt, as stores name data."""
    return url.rpartition('/')[2]


def remove(store: Store, url: str) -> None:
    """Remove data, which may be gone already.

    :raises StoreError: the store is away, or refuses.
    """
    try:
        store.delete(url)
    except exceptions.StoreDataNotFound:
        pass
