# SPDX-License-Identifier: Apache-2.0
"""Do now, once and in the open, what the janitors of conductors do by and by."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from glance_lite.conductor import litter
from glance_lite.conductor.janitor import GRACE_SECONDS
from glance_lite.conductor.litter import Litter
from glance_lite.receiving import LOST_SECONDS, RENEW_SECONDS, RETRY_SECONDS
from glance_lite.services import Services

#: What becomes of a thing: it is removed, would be, is in use after all, is not for removing, or
#: could not be removed.
REMOVED, WOULD_BE, IN_USE, LEFT, FAILED = 'removed', 'would remove', 'in use', 'left', 'failed'


@dataclasses.dataclass(frozen=True)
class Cleared:
    """A thing that was found, and what became of it; ``trouble`` says why it could not be."""

    litter: Litter
    action: str
    trouble: str | None = None


def clear(
    services: Services,
    *,
    dry_run: bool = False,
    grace_seconds: float | None = None,
    unknown: bool = False,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Cleared]:
    """Find what is left over and remove it, unless ``dry_run``; yield each thing.

    Of staging areas, that of this host is looked at. Uploads that seem lost are looked at again
    after a ``pause`` of some seconds: a database that was away took no signs of life.

    :param grace_seconds: age from which stored data and staged files count; None for the times
        that janitors keep.
    :param unknown: remove what is named after images that this database does not know, too.
    """
    usual: float = services.conf['import'].orphan_grace
    grace = usual if grace_seconds is None else grace_seconds
    young = GRACE_SECONDS if grace_seconds is None else grace_seconds
    finders: list[tuple[str, Callable[[], Iterator[Litter]]]] = [
        ('database', lambda: _silent_uploads(services, pause)),
        ('staging', lambda: litter.expired_staged_data(services)),
        ('staging', lambda: litter.stray_files(services, young, grace if unknown else usual)),
        ('database', lambda: litter.due_removals(services, again=True)),
    ]
    for store in services.stores:
        finders.append(
            (store.store_id, lambda store=store: litter.orphans(services, store, grace, unknown))  # type: ignore[misc]
        )
    finders.append(('database', lambda: litter.expired_tasks(services)))
    for where, find in finders:
        try:
            for found in find():
                yield _clear(found, dry_run)
        except Exception as error:
            yield Cleared(Litter('place', where, '', 'it cannot be looked at'), FAILED, str(error))


def _silent_uploads(services: Services, pause: Callable[[float], None]) -> Iterator[Litter]:
    if any(True for _ in litter.silent_uploads(services, LOST_SECONDS)):
        pause(RENEW_SECONDS + RETRY_SECONDS)
        yield from litter.silent_uploads(services, LOST_SECONDS)


def _clear(found: Litter, dry_run: bool) -> Cleared:
    if found.remove is None:
        return Cleared(found, LEFT)
    if dry_run:
        return Cleared(found, WOULD_BE)
    try:
        return Cleared(found, REMOVED if found.remove() else IN_USE)
    except Exception as error:
        return Cleared(found, FAILED, str(error))
