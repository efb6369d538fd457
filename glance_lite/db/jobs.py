# SPDX-License-Identifier: Apache-2.0
"""The job board's rows: post, claim, renew, consume. Leases count by the database's clock.

Every change after a claim carries the claim's ``gen``: who lost the lease changes nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms

_TABLE = models.jobs

#: The columns of a :class:`JobRow`.
_LISTED = tuple(
    _TABLE.c[name] for name in ('uuid', 'name', 'details', 'gen', 'created_ms', 'owner')
)


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
    session: Session,
    uuid: str,
    name: str,
    details: dict[str, Any],
    area: str | None = None,
    project: str | None = None,
) -> None:
    """Add a job in the caller's transaction.

    :param area: limits it to conductors that see this staging area.
    :param project: whose job it is.
    """
    values = {'area': area, 'project': project, 'details': json.dumps(details)}
    session.execute(_POST, {'uuid': uuid, 'name': name, **values})


def list_claimable(
    session: Session, areas: list[str] | None, max_per_project: int = 0, limit: int = 20
) -> list[JobRow]:
    """Return jobs that nobody holds, the oldest first.

    :param areas: staging areas that the caller can reach; None lists jobs of all areas.
    :param max_per_project: jobs of projects of which so many run are left out; 0 for no limit.
    """
    query = _claimable(areas is not None, bool(max_per_project))
    values = {'areas': areas, 'most': max_per_project, 'number': limit}
    return [_from_row(row) for row in session.execute(query, values)]


def list_unreachable(session: Session, areas: set[str], waiting_ms: int) -> list[JobRow]:
    """Return free jobs that wait for longer, for a staging area that is none of ``areas``."""
    rows = session.execute(
        sa.select(*_LISTED).where(
            _TABLE.c.area.is_not(None),
            _TABLE.c.area.not_in(areas),
            _TABLE.c.created_ms < now_ms() - waiting_ms,
            _is_free(),
        )
    )
    return [_from_row(row) for row in rows]


def list_ending(session: Session) -> list[JobRow]:
    """Return free jobs whose task was cancelled or is past its deadline: nobody need run them."""
    tasks = models.tasks
    rows = session.execute(
        sa.select(*_LISTED)
        .join(tasks, tasks.c.id == _TABLE.c.uuid)
        .where(
            _is_free(),
            sa.or_(tasks.c.cancel_requested.is_(True), tasks.c.deadline_ms < now_ms()),
        )
        .order_by(_TABLE.c.seq)
    )
    return [_from_row(row) for row in rows]


def list_waiting(session: Session, uuids: list[str] | None = None) -> list[WaitingJob]:
    """Return which jobs, of these or of all, nobody holds, the oldest first."""
    query = sa.select(_TABLE.c.uuid, _TABLE.c.area).where(_is_free())
    if uuids is not None:
        query = query.where(_TABLE.c.uuid.in_(uuids))
    return [WaitingJob(*row) for row in session.execute(query.order_by(_TABLE.c.seq))]


def list_unfinished(session: Session, uuids: list[str]) -> set[str]:
    """Return which of these jobs are still there, held or not."""
    return set(session.scalars(sa.select(_TABLE.c.uuid).where(_TABLE.c.uuid.in_(uuids))))


def get(session: Session, uuid: str) -> JobRow | None:
    """Return a job, or None if it is gone."""
    row = session.execute(sa.select(*_LISTED).where(_TABLE.c.uuid == uuid)).one_or_none()
    return None if row is None else _from_row(row)


def find_owner(session: Session, uuid: str) -> str | None:
    """Return who holds a live lease of the job."""
    return session.scalar(
        sa.select(_TABLE.c.owner).where(_TABLE.c.uuid == uuid, _TABLE.c.expires_ms >= now_ms())
    )


def count(session: Session) -> int:
    """Return how many jobs there are, held or not."""
    return session.scalar(sa.select(sa.func.count()).select_from(_TABLE)) or 0


def count_of_project(session: Session, project: str) -> int:
    """Return how many jobs a project has, held or not."""
    query = sa.select(sa.func.count()).select_from(_TABLE).where(_TABLE.c.project == project)
    return session.scalar(query) or 0


def lock_free(session: Session, uuid: str, gen: int) -> bool:
    """Lock a free job of this ``gen`` until the transaction ends.

    False if it is not free, or if another transaction has it: nobody waits for a conductor that
    stands still in the middle of one.
    """
    return session.scalar(_LOCK_FREE, {'this_id': uuid, 'this_gen': gen}) is not None


def may_run_more(session: Session, uuid: str, max_per_project: int) -> bool:
    """Tell whether the project of a job has fewer running than ``max_per_project``.

    Decided for all conductors: it locks the jobs of the project until the transaction ends.
    """
    project = session.scalar(sa.select(_TABLE.c.project).where(_TABLE.c.uuid == uuid))
    if project is None:
        return True
    rows = session.execute(
        sa.select(_TABLE.c.uuid, (_TABLE.c.expires_ms >= now_ms()).label('runs'))
        .where(_TABLE.c.project == project)
        .order_by(_TABLE.c.seq)
        .with_for_update()
    )
    return sum(bool(row.runs) for row in rows) < max_per_project


def claim(session: Session, uuid: str, gen: int, owner: str, lease_ms: int) -> bool:
    """Take a free or expired job; its ``gen`` becomes ``gen + 1``. False if it was taken."""
    values = {'this_id': uuid, 'this_gen': gen, 'owner': owner, 'lease_ms': lease_ms}
    return session.execute(_CLAIM, values).rowcount == 1


def reclaim(session: Session, uuid: str, gen: int, lease_ms: int) -> bool:
    """Raise the ``gen`` of a job that the caller holds, so that what it began changes no more."""
    result = session.execute(
        _TABLE.update().where(*_mine(uuid, gen)).values(gen=gen + 1, expires_ms=now_ms() + lease_ms)
    )
    return result.rowcount == 1


def renew(
    session: Session, uuid: str, gen: int, lease_ms: int, progress: dict[str, Any] | None
) -> bool:
    """Prolong the lease and publish the progress in one statement. False if it was lost."""
    values = {'this_id': uuid, 'this_gen': gen, 'lease_ms': lease_ms}
    if progress is None:
        return session.execute(_RENEW, values).rowcount == 1
    values['progress'] = json.dumps(progress)
    return session.execute(_RENEW_WITH_PROGRESS, values).rowcount == 1


def fence(session: Session, uuid: str, gen: int) -> bool:
    """Lock the job's row until the transaction ends, if the caller still holds the job.

    Whatever else is written in the same transaction is then written by the one rightful holder.
    """
    return session.execute(_FENCE, {'this_id': uuid, 'this_gen': gen}).rowcount == 1


def release(session: Session, uuid: str, gen: int, after_ms: int = 0) -> bool:
    """Give a job back, to be claimed by anyone at once or after so many milliseconds."""
    values: dict[str, Any] = {'expires_ms': now_ms() + after_ms}
    if not after_ms:
        values = {'owner': None, 'expires_ms': None}
    return session.execute(_TABLE.update().where(*_mine(uuid, gen)).values(**values)).rowcount == 1


def delete(session: Session, uuid: str, gen: int) -> bool:
    """Remove a finished job."""
    return session.execute(_DELETE, {'this_id': uuid, 'this_gen': gen}).rowcount == 1


def _is_free() -> sa.ColumnElement[bool]:
    return sa.or_(_TABLE.c.owner.is_(None), _TABLE.c.expires_ms < now_ms())


def _mine(uuid: Any, gen: Any) -> tuple[Any, ...]:
    return (_TABLE.c.uuid == uuid, _TABLE.c.gen == gen, _TABLE.c.owner.is_not(None))


def _from_row(row: Any) -> JobRow:
    return JobRow(row.uuid, row.name, json.loads(row.details), row.gen, row.created_ms, row.owner)


# Statements of what is done for each import: building one takes longer than running it.
_THIS = sa.bindparam('this_id', type_=sa.String())
_GEN = sa.bindparam('this_gen', type_=sa.BigInteger())
_LEASE_END = now_ms() + sa.bindparam('lease_ms', type_=sa.BigInteger())
_POST = _TABLE.insert().values(created_ms=now_ms(), gen=0)
_LOCK_FREE = (
    sa.select(_TABLE.c.uuid)
    .where(_TABLE.c.uuid == _THIS, _TABLE.c.gen == _GEN, _is_free())
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    _TABLE.update()
    .where(_TABLE.c.uuid == _THIS, _TABLE.c.gen == _GEN, _is_free())
    .values(owner=sa.bindparam('owner'), gen=_TABLE.c.gen + 1, expires_ms=_LEASE_END)
)
_RENEW = _TABLE.update().where(*_mine(_THIS, _GEN)).values(expires_ms=_LEASE_END)
_RENEW_WITH_PROGRESS = _RENEW.values(progress=sa.bindparam('progress'))
_FENCE = _TABLE.update().where(*_mine(_THIS, _GEN)).values(gen=_GEN)
_DELETE = _TABLE.delete().where(*_mine(_THIS, _GEN))


@functools.cache
def _claimable(in_areas: bool, has_limit: bool) -> sa.Select[Any]:
    conditions: list[Any] = [_is_free()]
    if in_areas:
        areas = sa.bindparam('areas', expanding=True, type_=sa.String())
        conditions.append(sa.or_(_TABLE.c.area.is_(None), _TABLE.c.area.in_(areas)))
    if has_limit:
        running = _TABLE.alias('running')
        busy = (
            sa.select(running.c.project)
            .where(running.c.project.is_not(None), running.c.expires_ms >= now_ms())
            .group_by(running.c.project)
            .having(sa.func.count() >= sa.bindparam('most', type_=sa.Integer()))
        )
        conditions.append(sa.or_(_TABLE.c.project.is_(None), _TABLE.c.project.not_in(busy)))
    number = sa.bindparam('number', type_=sa.Integer())
    return sa.select(*_LISTED).where(*conditions).order_by(_TABLE.c.seq).limit(number)
