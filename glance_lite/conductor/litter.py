# SPDX-License-Identifier: Apache-2.0
"""What is left over: uploads whose process died, files, stored data and records of nobody.

Finding changes nothing. To remove is to ask the database once more, as hours may lie between, and
many hosts may do it at once: names are listed first, then the database is asked whose they are, and
only what was listed is removed. Names of attempts are never used again, so whatever begins to be
stored meanwhile is safe from a janitor that was held up. When to look is ``janitor.py``'s business.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from glance_lite import exceptions, removing
from glance_lite.db import images, ownership, removals, staged, tasks, uploads
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.services import Services
from glance_lite.stores.base import Store, StoredData

#: Image ids that the database is asked about at once.
_BATCH = 200

_T = TypeVar('_T')


@dataclasses.dataclass(frozen=True)
class Litter:
    """One thing that is left over. Sizes in bytes; None where nobody knows.

    ``remove`` returns False if somebody needs it after all; None if it is not to be removed.
    """

    kind: str
    where: str
    what: str
    reason: str
    size: int | None = None
    remove: Callable[[], bool] | None = None


def silent_uploads(services: Services, lost_seconds: float) -> Iterator[Litter]:
    """Yield uploads and stagings whose process gave no sign of life for so long."""
    silent_ms = int(lost_seconds * 1000)
    with services.db.reader() as session:
        silent = uploads.list_silent(session, silent_ms)
    for image_id, token in silent:
        names = services.staging.list_files(image_id)

        def remove(image_id: str = image_id, token: str = token, names: list[str] = names) -> bool:
            if not services.db.transact(
                lambda session: _give_up(session, services, image_id, token, silent_ms)
            ):
                return False
            for name in names:
                services.staging.remove(name)
            return True

        yield Litter(
            'upload', 'database', image_id, 'its process gives no sign of life', remove=remove
        )


def _give_up(
    session: Session, services: Services, image_id: str, token: str, silent_ms: int
) -> bool:
    if not uploads.give_up(session, image_id, token, silent_ms):
        return False
    new = {'status': domain.QUEUED, **images.NO_DATA}
    if images.update(session, image_id, from_status=domain.SAVING, **new):
        for store in _writable(services):
            removals.note_attempts(session, image_id, store.store_id, in_seconds=0)
    else:
        images.update(session, image_id, from_status=domain.UPLOADING, **new)
    return True


def expired_staged_data(services: Services) -> Iterator[Litter]:
    """Yield staged data that waited too long for an import, or whose image needs none any more."""
    seconds = services.conf['import'].staged_ttl
    with services.db.reader() as session:
        old = staged.list_older(session, seconds)
        unwanted = staged.list_unwanted(session)
    for data in unwanted:
        yield _staged_litter(services, data, 'its image needs it no more')
    for data in old:
        yield _staged_litter(services, data, 'it waited too long for an import')


def _staged_litter(services: Services, data: staged.Staged, reason: str) -> Litter:
    def remove() -> bool:
        if not services.db.transact(lambda session: _expire(session, data)):
            return False
        if data.area == services.staging.area_id:
            services.staging.remove(data.file_name)
        return True

    return Litter('staged data', 'staging', data.image_id, reason, data.facts.get('size'), remove)


def _expire(session: Session, data: staged.Staged) -> bool:
    try:
        image = images.get_for_update(session, data.image_id)
    except exceptions.ImageNotFound:
        return False
    if image.status == domain.IMPORTING or staged.get(session, data.image_id) != data:
        return False  # an import has it, or it was staged anew
    images.update(
        session,
        data.image_id,
        from_status=domain.UPLOADING,
        status=domain.QUEUED,
        **images.NO_DATA,
    )
    return staged.delete(session, data.image_id)


def stray_files(
    services: Services, grace_seconds: float, unknown_seconds: float
) -> Iterator[Litter]:
    """Yield files of this host's staging area that no upload, import or staged data needs.

    :param grace_seconds: age from which files count.
    :param unknown_seconds: age from which those may be removed that no image has its name from.
    """
    staging = services.staging
    old = [file for file in staging.look() if file.age_seconds >= grace_seconds]
    old.sort(key=lambda file: file.name)
    for batch in _batches(old):
        with services.db.reader() as session:
            owned = ownership.of_all(session, {file.image_id for file in batch})
        for file in batch:
            owner = owned[file.image_id]
            if owner.busy or file.name in owner.staged_files:
                continue
            reason, may_go = 'nothing needs it', True
            if owner.status is None:
                reason = 'it is named after no image of this service'
                may_go = file.age_seconds >= unknown_seconds

            def remove(image_id: str = file.image_id, name: str = file.name) -> bool:
                with services.db.reader() as session:
                    owner = ownership.of(session, image_id)
                return not owner.busy and name not in owner.staged_files and staging.remove(name)

            yield Litter(
                'staged file', 'staging', file.name, reason, file.size, remove if may_go else None
            )


def due_removals(services: Services, again: bool = False) -> Iterator[Litter]:
    """Yield notes of stored data that is to be removed now.

    :param again: also those that were tried and are put off for a while.
    """
    limit = 100_000 if again else 100  # a janitor comes again soon
    with services.db.reader() as session:
        due = removals.list_due(session, limit, again)
    for removal in due:

        def remove(removal: removals.Removal = removal) -> bool:
            if not services.db.transact(lambda session: removals.take(session, removal)):
                return False  # another janitor does it
            return removing.carry_out(services.db, services.stores, removal)

        reason = (
            'uploads or imports of its image left it'
            if removal.url is None
            else 'its image does not own it any more'
        )
        if removal.attempts:
            reason += f'; tried {removal.attempts} times'
        yield Litter(
            'stored data',
            removal.store,
            f'{removal.image_id}.*' if removal.url is None else removing.name_of(removal.url),
            reason,
            _size(services, removal),
            remove,
        )


def _size(services: Services, removal: removals.Removal) -> int | None:
    """Return the bytes that a removal frees; None if the store does not tell."""
    try:
        store = services.stores.get(removal.store)
        return None if removal.url is None else store.size(removal.url)
    except Exception:
        return None


def orphans(
    services: Services, store: Store, grace_seconds: float, unknown: bool = False
) -> Iterator[Litter]:
    """Yield data in a store that no image owns, no upload or import needs and no note names.

    Only what the store named itself, and only for ids that this database knows: another service
    may use the same store. Data of other ids is reported, to be removed if ``unknown``.

    :param grace_seconds: age from which data counts.
    :raises StoreError: the store cannot be reached.
    """
    listed = None if store.read_only else store.list_data()
    if listed is None:
        return
    foreign = foreign_bytes = 0
    old = (data for data in listed if data.age_seconds >= grace_seconds)
    for batch in _batches(old):
        ids = {data.image_id for data in batch if data.image_id is not None}
        with services.db.reader() as session:
            owned = ownership.of_all(session, ids)
        for data in batch:
            if data.image_id is None:
                foreign += 1
                foreign_bytes += data.size
                continue
            reason = _why_orphan(services, store, data, owned[data.image_id])
            if reason is None:
                continue
            may_go = unknown or owned[data.image_id].status is not None

            def remove(data: StoredData = data, image_id: str = data.image_id) -> bool:
                with services.db.reader() as session:
                    owner = ownership.of(session, image_id)
                if _why_orphan(services, store, data, owner) is None:
                    return False
                removing.remove(store, data.url)
                return True

            yield Litter(
                'stored data',
                store.store_id,
                removing.name_of(data.url),
                reason,
                data.size,
                remove if may_go else None,
            )
    if foreign:
        what = f'{foreign} file{"" if foreign == 1 else "s"}'
        yield Litter(
            'stored data', store.store_id, what, 'this service did not name them', foreign_bytes
        )


def _why_orphan(
    services: Services, store: Store, data: StoredData, owner: ownership.Ownership
) -> str | None:
    """Return why data belongs to nobody; None if it belongs to somebody."""
    if owner.busy or removing.belongs(data.url, store, services.stores, owner.places | owner.noted):
        return None
    if owner.status is None:
        return 'there was no image of this id in this service'
    if owner.status == domain.DELETED:
        return 'its image is deleted, or was never made'
    return 'its image has other data' if owner.places else 'its image has no data'


def expired_tasks(services: Services) -> Iterator[Litter]:
    """Yield the records of finished imports that cannot be read any more, all as one."""
    with services.db.reader() as session:
        count = tasks.count_expired(session)
    if count:
        yield Litter(
            'records',
            'database',
            f'{count} task{"" if count == 1 else "s"}',
            'task_time_to_live has passed since they ended',
            remove=lambda: services.db.transact(tasks.delete_expired) > 0,
        )


def _writable(services: Services) -> list[Store]:
    return [store for store in services.stores if not store.read_only]


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
