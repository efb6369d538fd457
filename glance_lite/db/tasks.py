# SPDX-License-Identifier: Apache-2.0
"""Task records. The lease and the live progress of a running one are in ``jobs``."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms, utc_in, utcnow
from glance_lite.domain import task as domain

#: Ids in one statement.
_AT_ONCE = 500
_JSON = ('input', 'plan', 'caller', 'result', 'error', 'draft', 'progress', 'receipts')
_PLAIN = (
    'type',
    'status',
    'owner',
    'user_id',
    'request_id',
    'image_id',
    'message',
    'attempts',
    'cancel_requested',
    'deadline_ms',
    'created_at',
    'updated_at',
    'expires_at',
)


def get(session: Session, task_id: str) -> domain.Task:
    """Return a task.

    :raises TaskNotFound: there is none with this id.
    """
    row = session.execute(_ONE, {'this_id': task_id}).one_or_none()
    if row is None:
        raise exceptions.TaskNotFound(task_id)
    return _from_row(row)


def get_draft(session: Session, task_id: str) -> dict[str, Any] | None:
    """Return what the image is to be that a task makes; None while it is as planned."""
    draft = session.scalar(_DRAFT, {'this_id': task_id})
    return None if draft is None else dict(json.loads(draft))


def list_statuses(session: Session, task_ids: Iterable[str]) -> dict[str, str]:
    """Return the statuses of those of these tasks that are there."""
    table = models.tasks.c
    found: dict[str, str] = {}
    wanted = list(task_ids)
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        rows = session.execute(sa.select(table.id, table.status).where(table.id.in_(some)))
        found |= {row.id: row.status for row in rows}
    return found


def list_for_image(session: Session, image_id: str) -> list[domain.Task]:
    """Return the unexpired tasks of an image, the oldest first."""
    return [_from_row(row) for row in session.execute(_OF_IMAGE, {'this_id': image_id})]


def insert(session: Session, task: domain.Task, deadline_in: float | None = None) -> domain.Task:
    """Add a new task; its times are set here.

    :param deadline_in: seconds until its deadline, by the database's clock; None for none.
    """
    now = utcnow()
    values = {
        'id': task.task_id,
        'type': task.type,
        'status': task.status,
        'owner': task.owner,
        'user_id': task.user_id,
        'request_id': task.request_id,
        'image_id': task.image_id,
        'input': json.dumps(task.input),
        'plan': json.dumps(task.plan),
        'caller': json.dumps(task.caller),
        'message': task.message,
        'attempts': 0,
        'cancel_requested': False,
        'created_at': now,
        'updated_at': now,
        'deleted': False,
    }
    if deadline_in is None:
        session.execute(_INSERT, values)
    else:
        session.execute(_INSERT_WITH_DEADLINE, values | {'left_ms': int(deadline_in * 1000)})
    task.created_at = task.updated_at = now
    return task


def update(session: Session, task_id: str, **values: Any) -> bool:
    """Set columns of a task that is not final; True if it was so.

    ``expires_in``: seconds from now, by the database's clock, for ``expires_at``.
    """
    for name in _JSON:
        if name in values and values[name] is not None:
            values[name] = json.dumps(values[name])
    values['updated_at'] = utcnow()
    statement = _update(tuple(sorted(values)))
    return session.execute(statement, {'this_id': task_id, **values}).rowcount == 1


def finish(
    session: Session,
    task_id: str,
    status: str,
    time_to_live: datetime.timedelta,
    **values: Any,
) -> bool:
    """Make a task final, readable for ``time_to_live``; True if it was not final before."""
    seconds = time_to_live.total_seconds()
    return update(session, task_id, status=status, expires_in=seconds, **values)


def start_attempt(session: Session, task_id: str) -> tuple[domain.Task, int]:
    """Count one more attempt of a task and mark it processing, unless it is final.

    Returns the task as it is then, and the time in milliseconds by the database's clock.

    :raises TaskNotFound: there is none with this id.
    """
    row = session.execute(_PLAN, {'this_id': task_id}).one_or_none()
    if row is None:
        raise exceptions.TaskNotFound(task_id)
    task = _from_row(row)
    if task.status not in domain.FINAL:
        task.status, task.attempts = domain.PROCESSING, task.attempts + 1
        update(session, task_id, status=task.status, attempts=task.attempts)
    return task, row.now


def uncount_attempt(session: Session, task_id: str) -> None:
    """Take back the count of an attempt that was given up in order, for no fault of its own."""
    table = models.tasks
    session.execute(
        table.update()
        .where(table.c.id == task_id, table.c.attempts > 0, table.c.status.not_in(domain.FINAL))
        .values(attempts=table.c.attempts - 1)
    )


def request_cancel(session: Session, task_id: str) -> bool:
    """Ask whoever runs the task to undo it; True if it was not final."""
    return update(session, task_id, cancel_requested=True)


def list_all(
    session: Session, statuses: Collection[str], owner: str | None = None
) -> list[domain.Task]:
    """Return the unexpired tasks in one of these statuses, of one project or of all.

    The oldest comes first.
    """
    table = models.tasks
    query = _select().where(table.c.status.in_(statuses), _is_readable())
    if owner is not None:
        query = query.where(table.c.owner == owner)
    rows = session.execute(query.order_by(table.c.created_at, table.c.id))
    return [_from_row(row) for row in rows]


def find(session: Session, beginning: str, limit: int = 200) -> list[domain.Task]:
    """Return the unexpired tasks whose id, or whose image's id, begins so; the newest first."""
    table = models.tasks
    rows = session.execute(
        _select()
        .where(
            sa.or_(
                table.c.id.startswith(beginning, autoescape=True),
                table.c.image_id.startswith(beginning, autoescape=True),
            ),
            _is_readable(),
        )
        .order_by(table.c.created_at.desc(), table.c.id)
        .limit(limit)
    )
    return [_from_row(row) for row in rows]


def select_readable() -> sa.Select[Any]:
    """Return what selects the unexpired tasks for :func:`load`."""
    return _select().where(_is_readable())


def load(session: Session, query: sa.Select[Any]) -> list[domain.Task]:
    """Return the tasks that a query like :func:`select_readable` finds."""
    return [_from_row(row) for row in session.execute(query)]


def count_expired(session: Session) -> int:
    """Return how many tasks may not be read any more."""
    table = models.tasks
    query = sa.select(sa.func.count()).select_from(table).where(table.c.expires_at < utc_in(0))
    return session.scalar(query) or 0


def delete_expired(session: Session) -> int:
    """Remove tasks that may not be read any more; return how many."""
    table = models.tasks
    return session.execute(table.delete().where(table.c.expires_at < utc_in(0))).rowcount


def list_cancelled(session: Session, task_ids: list[str]) -> set[str]:
    """Return which of these tasks somebody asked to undo."""
    table = models.tasks
    query = sa.select(table.c.id).where(table.c.id.in_(task_ids), table.c.cancel_requested)
    return set(session.scalars(query))


def _is_readable() -> sa.ColumnElement[bool]:
    expires_at = models.tasks.c.expires_at
    return sa.or_(expires_at.is_(None), expires_at > utc_in(0))


def _select() -> sa.Select[Any]:
    # the progress of a running import is on its job, renewed with the lease
    jobs = models.jobs
    others = jobs.alias('others')
    ahead = (
        sa.select(sa.func.count())
        .where(
            others.c.seq < jobs.c.seq,
            sa.or_(others.c.owner.is_(None), others.c.expires_ms < now_ms()),
        )
        .scalar_subquery()
    )
    return sa.select(
        models.tasks,
        jobs.c.progress.label('live'),
        sa.case((models.tasks.c.status == domain.PENDING, ahead)).label('ahead'),
    ).select_from(models.tasks.outerjoin(jobs, jobs.c.uuid == models.tasks.c.id))


def _from_row(row: Any) -> domain.Task:
    values = {name: getattr(row, name) for name in _PLAIN}
    for name in _JSON:
        text = getattr(row, name)
        values[name] = json.loads(text) if text is not None else None
    if values['progress'] is None and row.live is not None:
        live = json.loads(row.live)
        receipts = live.pop('receipts', None)
        values |= {'progress': live, 'receipts': values['receipts'] or receipts}
    if row.ahead is not None and values['progress'] is None:
        values['progress'] = domain.waiting(row.ahead + 1)
    return domain.Task(task_id=row.id, **values)


# Statements of what is done for each import: building one takes longer than running it.
_THIS = sa.bindparam('this_id', type_=sa.String())
_ONE = _select().where(models.tasks.c.id == _THIS)
_OF_IMAGE = (
    _select()
    .where(models.tasks.c.image_id == _THIS, _is_readable())
    .order_by(models.tasks.c.created_at, models.tasks.c.id)
)
_PLAN = sa.select(
    models.tasks, sa.null().label('live'), sa.null().label('ahead'), now_ms().label('now')
).where(models.tasks.c.id == _THIS)
_DRAFT = sa.select(models.tasks.c.draft).where(models.tasks.c.id == _THIS)
_INSERT = models.tasks.insert()
_INSERT_WITH_DEADLINE = _INSERT.values(
    deadline_ms=now_ms() + sa.bindparam('left_ms', type_=sa.BigInteger())
)


@functools.cache
def _update(names: tuple[str, ...]) -> sa.Update:
    table = models.tasks
    values: dict[str, Any] = {name: sa.bindparam(name) for name in names if name != 'expires_in'}
    if 'expires_in' in names:
        values['expires_at'] = utc_in(sa.bindparam('expires_in', type_=sa.Integer()))
    where = (table.c.id == _THIS, table.c.status.not_in(domain.FINAL))
    return table.update().where(*where).values(values)
