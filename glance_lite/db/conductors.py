# SPDX-License-Identifier: Apache-2.0
"""Who runs imports: live conductors and the staging areas that they reach."""

from __future__ import annotations

import json

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms

_TABLE = models.conductors


def check_in(session: Session, name: str, host: str, areas: list[str]) -> None:
    """Tell that a conductor is alive and which staging areas it reaches."""
    values = {'areas': json.dumps(areas), 'seen_ms': now_ms()}
    if not session.execute(_TABLE.update().where(_TABLE.c.name == name).values(**values)).rowcount:
        session.execute(_TABLE.insert().values(name=name, host=host, started_ms=now_ms(), **values))


def live_areas(session: Session, within_ms: int) -> set[str]:
    """Return the staging areas that a conductor seen in the last ``within_ms`` reaches.

    One that ended is counted too: it may be starting again.
    """
    rows = session.scalars(sa.select(_TABLE.c.areas).where(_TABLE.c.seen_ms > now_ms() - within_ms))
    return {area for row in rows for area in json.loads(row)}


def forget(session: Session, silent_ms: int) -> int:
    """Remove conductors that were silent for longer; return how many."""
    return session.execute(_TABLE.delete().where(_TABLE.c.seen_ms < now_ms() - silent_ms)).rowcount
