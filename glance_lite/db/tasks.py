# SPDX-License-Identifier: Apache-2.0
"""Task records. The lease and the live progress of a running one are in ``jobs``."""

from __future__ import annotations

import datetime
import json
from typing import Any

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import models
from glance_lite.db.engine import Session, utcnow
from glance_lite.domain import task as domain

_JSON = ('input', 'plan', 'caller', 'result', 'error', 'progress')
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
    row = session.execute(_select().where(models.tasks.c.id == task_id)).one_or_none()
    if row is None:
        raise exceptions.TaskNotFound(task_id)
    return _from_row(row)


def list_for_image(session: Session, image_id: str) -> list[domain.Task]:
    """Return the unexpired tasks of an image, the oldest first."""
    table = models.tasks
    rows = session.execute(
        _select()
        .where(
            table.c.image_id == image_id,
            sa.or_(table.c.expires_at.is_(None), table.c.expires_at > utcnow()),
        )
        .order_by(table.c.created_at, table.c.id)
    )
    return [_from_row(row) for row in rows]


def insert(session: Session, task: domain.Task) -> domain.Task:
    """Add a new task; its times are set here."""
    now = utcnow()
    session.execute(
        models.tasks.insert().values(
            id=task.task_id,
            type=task.type,
            status=task.status,
            owner=task.owner,
            user_id=task.user_id,
            request_id=task.request_id,
            image_id=task.image_id,
            input=json.dumps(task.input),
            plan=json.dumps(task.plan),
            caller=json.dumps(task.caller),
            message=task.message,
            attempts=0,
            cancel_requested=False,
            deadline_ms=task.deadline_ms,
            created_at=now,
            updated_at=now,
            deleted=False,
        )
    )
    task.created_at = task.updated_at = now
    return task


def update(session: Session, task_id: str, **values: Any) -> bool:
    """Set columns of a task that is not final; True if it was so."""
    for name in _JSON:
        if name in values and values[name] is not None:
            values[name] = json.dumps(values[name])
    table = models.tasks
    result = session.execute(
        table.update()
        .where(table.c.id == task_id, table.c.status.not_in(domain.FINAL))
        .values(updated_at=utcnow(), **values)
    )
    return result.rowcount == 1


def finish(
    session: Session,
    task_id: str,
    status: str,
    time_to_live: datetime.timedelta,
    **values: Any,
) -> bool:
    """Make a task final, readable for ``time_to_live``; True if it was not final before."""
    return update(session, task_id, status=status, expires_at=utcnow() + time_to_live, **values)


def start_attempt(session: Session, task_id: str) -> int:
    """Count one more attempt of a task, mark it processing, and return the count."""
    table = models.tasks
    session.execute(
        table.update()
        .where(table.c.id == task_id, table.c.status.not_in(domain.FINAL))
        .values(status=domain.PROCESSING, attempts=table.c.attempts + 1, updated_at=utcnow())
    )
    attempts = session.scalar(sa.select(table.c.attempts).where(table.c.id == task_id))
    return attempts or 0


def request_cancel(session: Session, task_id: str) -> bool:
    """Ask whoever runs the task to undo it; True if it was not final."""
    return update(session, task_id, cancel_requested=True)


def is_running_for(session: Session, image_id: str) -> bool:
    """Tell whether an import of the image waits or runs, also if the image was deleted."""
    table = models.tasks
    return (
        session.scalar(
            sa.select(table.c.id)
            .where(table.c.image_id == image_id, table.c.status.not_in(domain.FINAL))
            .limit(1)
        )
        is not None
    )


def delete_expired(session: Session) -> int:
    """Remove tasks that may not be read any more; return how many."""
    table = models.tasks
    return session.execute(table.delete().where(table.c.expires_at < utcnow())).rowcount


def is_cancelled(session: Session, task_id: str) -> bool:
    """Tell whether somebody asked to undo the task."""
    table = models.tasks
    return bool(session.scalar(sa.select(table.c.cancel_requested).where(table.c.id == task_id)))


def _select() -> sa.Select[Any]:
    # the progress of a running import is on its job, renewed with the lease
    return sa.select(models.tasks, models.jobs.c.progress.label('live')).select_from(
        models.tasks.outerjoin(models.jobs, models.jobs.c.uuid == models.tasks.c.id)
    )


def _from_row(row: Any) -> domain.Task:
    values = {name: getattr(row, name) for name in _PLAIN}
    for name in _JSON:
        text = getattr(row, name)
        values[name] = json.loads(text) if text is not None else None
    if values['progress'] is None and row.live is not None:
        values['progress'] = json.loads(row.live)
    return domain.Task(task_id=row.id, **values)
