# SPDX-License-Identifier: Apache-2.0
"""What an operator asks about imports: who runs one, for how long still, and who could.

The records themselves are in ``tasks``. Nothing here changes anything.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms


@dataclasses.dataclass(frozen=True)
class JobStatus:
    """The job of an unfinished import.

    ``conductor`` has, or had, its lease, which runs ``lease_seconds`` from now; if negative, it
    ran out so long ago. Both are None while nobody has begun. ``area`` is the staging area that a
    conductor must reach, None if any may run it. ``age_seconds`` since it was posted.
    """

    area: str | None
    conductor: str | None
    lease_seconds: float | None
    age_seconds: float

    @property
    def is_held(self) -> bool:
        """Whether a conductor runs it, as far as the database knows."""
        return self.lease_seconds is not None and self.lease_seconds > 0


@dataclasses.dataclass(frozen=True)
class ConductorStatus:
    """A conductor, the staging areas that it reaches, and how long ago it was seen."""

    name: str
    host: str
    areas: frozenset[str]
    seen_seconds: float


def jobs_of(session: Session, task_ids: Collection[str]) -> dict[str, JobStatus]:
    """Return the jobs of these tasks, by the task's id; a finished task has none."""
    table = models.jobs
    now = now_ms()
    rows = session.execute(
        sa.select(
            table.c.uuid,
            table.c.area,
            table.c.owner,
            (table.c.expires_ms - now).label('lease_ms'),
            (now - table.c.created_ms).label('age_ms'),
        ).where(table.c.uuid.in_(task_ids))
    )
    return {
        row.uuid: JobStatus(
            row.area,
            row.owner,
            None if row.owner is None else row.lease_ms / 1000,
            row.age_ms / 1000,
        )
        for row in rows
    }


def list_conductors(session: Session) -> list[ConductorStatus]:
    """Return the conductors that the database remembers, the last seen first."""
    table = models.conductors
    seen = (now_ms() - table.c.seen_ms).label('seen_ms')
    rows = session.execute(sa.select(table.c.name, table.c.host, table.c.areas, seen))
    found = [
        ConductorStatus(row.name, row.host, frozenset(json.loads(row.areas)), row.seen_ms / 1000)
        for row in rows
    ]
    return sorted(found, key=lambda conductor: conductor.seen_seconds)


def count_running(session: Session, project: str | None) -> int:
    """Return how many imports of a project run."""
    table = models.jobs
    query = sa.select(sa.func.count()).where(
        table.c.project == project, table.c.expires_ms >= now_ms()
    )
    return session.scalar(query) or 0


def deadline_seconds(session: Session, task_id: str) -> float | None:
    """Return in how many seconds the deadline of an import passes; None if it has none."""
    table = models.tasks
    left_ms = session.scalar(sa.select(table.c.deadline_ms - now_ms()).where(table.c.id == task_id))
    return None if left_ms is None else left_ms / 1000
