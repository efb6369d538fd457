# SPDX-License-Identifier: Apache-2.0
"""How the service stands, in a few numbers that cost the database little. For ``exporting.py``."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms

#: Milliseconds without a sign of life after which a conductor does not count as alive.
ALIVE_MS = 10_000


@dataclasses.dataclass(frozen=True)
class Figures:
    """Imports that wait and run, with seconds of the oldest; live conductors; what waits else."""

    waiting: int
    running: int
    oldest_waiting_seconds: float
    oldest_running_seconds: float
    oldest_lock_seconds: float
    conductors: int
    removals: int
    staged_images: int
    receiving: int


def read(session: Session) -> Figures:
    """Return the figures of now."""
    jobs = models.jobs.c
    now = now_ms()
    is_held = sa.and_(jobs.owner.is_not(None), jobs.expires_ms >= now)
    held = sa.case((is_held, 1), else_=0)
    waiting_since = sa.case((is_held, None), else_=jobs.created_ms)
    running_since = sa.case((is_held, jobs.created_ms))
    row = session.execute(
        sa.select(
            sa.func.count().label('all'),
            sa.func.coalesce(sa.func.sum(held), 0).label('running'),
            sa.func.min(waiting_since).label('waiting_since'),
            sa.func.min(running_since).label('running_since'),
        ).select_from(models.jobs)
    ).one()
    # an import holds its image from the moment when it is posted
    held_since = session.scalar(sa.select(sa.func.min(jobs.created_ms)))
    moment = session.scalar(sa.select(now)) or 0
    alive = models.conductors.c.seen_ms > now - ALIVE_MS
    return Figures(
        waiting=row.all - int(row.running),
        running=int(row.running),
        oldest_waiting_seconds=_seconds(row.waiting_since, moment),
        oldest_running_seconds=_seconds(row.running_since, moment),
        oldest_lock_seconds=_seconds(held_since, moment),
        conductors=_count(session, models.conductors, alive),
        removals=_count(session, models.removals),
        staged_images=_count(session, models.staged),
        receiving=_count(session, models.uploads),
    )


def _seconds(since_ms: int | None, now: int) -> float:
    return 0.0 if since_ms is None else max(0.0, (now - since_ms) / 1000)


def _count(session: Session, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0
