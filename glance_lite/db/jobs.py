# SPDX-License-Identifier: Apache-2.0
"""The job board's rows: post, claim, renew, consume. Leases count by the database's clock.

Every change after a claim carries the claim's ``gen``: who lost the lease changes nothing.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms

_TABLE = models.jobs


@dataclasses.dataclass(frozen=True)
class JobRow:
    """A job as listed: claim it with this ``gen``."""

    uuid: str
    name: str
    details: dict[str, Any]
    gen: int
    created_ms: int
    owner: str | None


@dataclasses.dataclass(frozen=True)
class WaitingJob:
    """A job that nobody runs, and the staging area that limits who may."""

    uuid: str
    area: str | None


def post(
    session: Session, uuid: str, name: str, details: dict[str, Any], area: str | None = None
) -> None:
    """Add a job in the caller's transaction; ``area`` limits it to conductors that see it."""
    session.execute(
        _TABLE.insert().values(
            uuid=uuid,
            name=name,
            details=json.dumps(details),
            area=area,
            created_ms=now_ms(),
            gen=0,
        )
    )


def list_claimable(session: Session, areas: list[str] | None, limit: int = 20) -> list[JobRow]:
    """Return jobs that nobody holds, the oldest first.

    :param areas: staging areas that the caller can reach; None lists jobs of all areas.
    """
    conditions = [sa.or_(_TABLE.c.owner.is_(None), _TABLE.c.expires_ms < now_ms())]
    if areas is not None:
        conditions.append(sa.or_(_TABLE.c.area.is_(None), _TABLE.c.area.in_(areas)))
    rows = session.execute(sa.select(_TABLE).where(*conditions).order_by(_TABLE.c.seq).limit(limit))
    return [_from_row(row) for row in rows]


def list_unreachable(session: Session, areas: set[str], waiting_ms: int) -> list[JobRow]:
    """Return free jobs that wait for longer, for a staging area that is none of ``areas``."""
    rows = session.execute(
        sa.select(_TABLE).where(
            _TABLE.c.area.is_not(None),
            _TABLE.c.area.not_in(areas),
            _TABLE.c.created_ms < now_ms() - waiting_ms,
            sa.or_(_TABLE.c.owner.is_(None), _TABLE.c.expires_ms < now_ms()),
        )
    )
    return [_from_row(row) for row in rows]


def list_waiting(session: Session, uuids: list[str] | None = None) -> list[WaitingJob]:
    """Return which jobs, of these or of all, nobody holds, the oldest first."""
    query = sa.select(_TABLE.c.uuid, _TABLE.c.area).where(
        sa.or_(_TABLE.c.owner.is_(None), _TABLE.c.expires_ms < now_ms())
    )
    if uuids is not None:
        query = query.where(_TABLE.c.uuid.in_(uuids))
    return [WaitingJob(*row) for row in session.execute(query.order_by(_TABLE.c.seq))]


def list_unfinished(session: Session, uuids: list[str]) -> set[str]:
    """Return which of these jobs are still there, held or not."""
    return set(session.scalars(sa.select(_TABLE.c.uuid).where(_TABLE.c.uuid.in_(uuids))))


def get(session: Session, uuid: str) -> JobRow | None:
    """Return a job, or None if it is gone."""
    row = session.execute(sa.select(_TABLE).where(_TABLE.c.uuid == uuid)).one_or_none()
    return None if row is None else _from_row(row)


def find_owner(session: Session, uuid: str) -> str | None:
    """Return who holds a live lease of the job."""
    return session.scalar(
        sa.select(_TABLE.c.owner).where(_TABLE.c.uuid == uuid, _TABLE.c.expires_ms >= now_ms())
    )


def count(session: Session) -> int:
    """Return how many jobs there are, held or not."""
    return session.scalar(sa.select(sa.func.count()).select_from(_TABLE)) or 0


def claim(session: Session, uuid: str, gen: int, owner: str, lease_ms: int) -> bool:
    """Take a free or expired job; its ``gen`` becomes ``gen + 1``. False if it was taken."""
    result = session.execute(
        _TABLE.update()
        .where(
            _TABLE.c.uuid == uuid,
            _TABLE.c.gen == gen,
            sa.or_(_TABLE.c.owner.is_(None), _TABLE.c.expires_ms < now_ms()),
        )
        .values(owner=owner, gen=gen + 1, expires_ms=now_ms() + lease_ms)
    )
    return result.rowcount == 1


def renew(
    session: Session, uuid: str, gen: int, lease_ms: int, progress: dict[str, Any] | None
) -> bool:
    """Prolong the lease and publish the progress in one statement. False if it was lost."""
    values: dict[str, Any] = {'expires_ms': now_ms() + lease_ms}
    if progress is not None:
        values['progress'] = json.dumps(progress)
    result = session.execute(_TABLE.update().where(*_mine(uuid, gen)).values(**values))
    return result.rowcount == 1


def fence(session: Session, uuid: str, gen: int) -> bool:
    """Lock the job's row until the transaction ends, if the caller still holds the job.

    Whatever else is written in the same transaction is then written by the one rightful holder.
    """
    result = session.execute(_TABLE.update().where(*_mine(uuid, gen)).values(gen=gen))
    return result.rowcount == 1


def release(session: Session, uuid: str, gen: int) -> bool:
    """Give a job back, to be claimed by anyone at once."""
    result = session.execute(
        _TABLE.update().where(*_mine(uuid, gen)).values(owner=None, expires_ms=None)
    )
    return result.rowcount == 1


def delete(session: Session, uuid: str, gen: int) -> bool:
    """Remove a finished job."""
    return session.execute(_TABLE.delete().where(*_mine(uuid, gen))).rowcount == 1


def _mine(uuid: str, gen: int) -> tuple[Any, ...]:
    return (_TABLE.c.uuid == uuid, _TABLE.c.gen == gen, _TABLE.c.owner.is_not(None))


def _from_row(row: Any) -> JobRow:
    return JobRow(row.uuid, row.name, json.loads(row.details), row.gen, row.created_ms, row.owner)
