# SPDX-License-Identifier: Apache-2.0
"""Remove the data of images that were deleted long enough ago, or restore one of them.

Safe with several scrubbers, janitors and a restore at once: who may do what is decided in the
database (``db/pending.py``, ``db/removals.py``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent import futures

from oslo_log import log

from glance_lite import removing
from glance_lite.db import pending, removals
from glance_lite.services import Services

LOG = log.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Scrubbed:
    """What became of images: they are deleted, or some of their data could not be removed yet."""

    deleted: int
    left: int


def scrub(services: Services) -> Scrubbed:
    """Remove the data of all images that are due, ``scrub_pool_size`` at once."""
    with futures.ThreadPoolExecutor(services.conf.scrub_pool_size) as pool:
        ended = list(pool.map(lambda image_id: _scrub(services, image_id), _due(services)))
    return Scrubbed(ended.count(True), ended.count(False))


def restore(services: Services, image_id: str) -> str:
    """Give a deleted image back to its users; return its status. Errors as ``pending.restore``."""
    status = services.db.transact(lambda session: pending.restore(session, image_id))
    LOG.info('Image %s is restored: %s', image_id, status)
    return status


def _due(services: Services) -> Iterator[str]:
    after = ''
    while True:
        with services.db.reader() as session:
            found = pending.list_due(session, services.conf.scrub_time, after)
        yield from found
        if not found:
            return
        after = found[-1]


def _scrub(services: Services, image_id: str) -> bool | None:
    """Return whether an image is deleted now; None if it was none of ours after all."""
    try:
        notes = services.db.transact(lambda session: pending.condemn(session, image_id))
        for note in notes:
            _remove(services, note)
        if services.db.transact(lambda session: pending.finish(session, image_id)):
            LOG.info('Image %s is scrubbed', image_id)
            return True
    except Exception as error:
        LOG.warning('Image %s was not scrubbed: %s', image_id, error)
        return False
    return False if notes else None


def _remove(services: Services, note: removals.Removal) -> None:
    if services.db.transact(lambda session: removals.take(session, note)):
        removing.try_removal(services.db, services.stores, note)
