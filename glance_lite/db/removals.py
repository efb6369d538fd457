# SPDX-License-Identifier: Apache-2.0
"""Stored data that is still to be removed, noted in the transaction that took it from its owner.

A note stays until a store has said that the data is gone, however often the process dies and the
store is away. Whoever tries first takes the note: others leave it alone until it is due again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms
from glance_lite.domain.image import Location

_TABLE = models.removals

#: Seconds for which a new note is left to the request, or import, that made it.
FIRST_SECONDS = 20.0
#: Seconds between two attempts at most; they begin with :data:`FIRST_SECONDS` and double.
MOST_SECONDS = 3600.0


@dataclasses.dataclass(frozen=True)
class Removal:
    """One note. Without a ``url`` it means whatever attempts at the image left in the store."""

    removal_id: int
    image_id: str
    store: str
    url: str | None
    attempts: int = 0


def note(
    session: Session,
    image_id: str,
    locations: Iterable[Location],
    in_seconds: float = FIRST_SECONDS,
) -> list[Removal]:
    """Note that the data in these places is to be removed, not before ``in_seconds``."""
    return [
        _insert(session, image_id, location.store, location.url, in_seconds)
        for location in locations
    ]


def note_attempts(
    session: Session, image_id: str, store: str, in_seconds: float = FIRST_SECONDS
) -> Removal:
    """Note that what attempts at an image left in a store is to be removed.

    The image's own data is kept, and nothing is removed while an upload or import of it runs.
    """
    return _insert(session, image_id, store, None, in_seconds)


def list_due(session: Session, limit: int = 100, again: bool = False) -> list[Removal]:
    """Return notes whose time has come, the longest due first.

    :param again: also those that were tried and are put off.
    """
    condition = _TABLE.c.due_ms <= now_ms()
    if again:
        condition = sa.or_(condition, _TABLE.c.attempts > 0)
    rows = session.execute(
        sa.select(_TABLE).where(condition).order_by(_TABLE.c.due_ms).limit(limit)
    )
    return [_from_row(row) for row in rows]


def list_of(session: Session, image_id: str) -> list[Removal]:
    """Return the notes of one image, due or not, the oldest first."""
    query = sa.select(_TABLE).where(_TABLE.c.image_id == image_id).order_by(_TABLE.c.id)
    return [_from_row(row) for row in session.execute(query)]


def list_all(session: Session) -> list[Removal]:
    """Return all notes, due or not, the oldest first."""
    return [_from_row(row) for row in session.execute(sa.select(_TABLE).order_by(_TABLE.c.id))]


def take(session: Session, removal: Removal) -> bool:
    """Count an attempt, and put the next one off; False if another took the note meanwhile."""
    wait_ms = int(min(FIRST_SECONDS * 2.0 ** min(removal.attempts, 20), MOST_SECONDS) * 1000)
    result = session.execute(
        _TABLE.update()
        .where(_TABLE.c.id == removal.removal_id, _TABLE.c.attempts == removal.attempts)
        .values(attempts=removal.attempts + 1, due_ms=now_ms() + wait_ms)
    )
    return result.rowcount == 1


def done(session: Session, removal: Removal) -> None:
    """Forget a note: the data is gone."""
    session.execute(_TABLE.delete().where(_TABLE.c.id == removal.removal_id))


def _insert(
    session: Session, image_id: str, store: str, url: str | None, in_seconds: float
) -> Removal:
    result = session.execute(
        _TABLE.insert().values(
            image_id=image_id,
            store=store,
            url=url or '',
            due_ms=now_ms() + int(in_seconds * 1000),
            attempts=0,
        )
    )
    assert result.inserted_primary_key is not None
    return Removal(result.inserted_primary_key[0], image_id, store, url)


def _from_row(row: sa.Row[tuple[object, ...]]) -> Removal:
    return Removal(row.id, row.image_id, row.store, row.url or None, row.attempts)
