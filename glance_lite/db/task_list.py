# SPDX-License-Identifier: Apache-2.0
"""Pages of tasks, and one task as its owner may read it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import models, tasks
from glance_lite.db.engine import Session
from glance_lite.domain.task import Task
from glance_lite.domain.task_query import TaskQuery

_TABLE = models.tasks.c


def get(session: Session, task_id: str, project_id: str | None, is_admin: bool) -> Task:
    """Return a task that a project may read, its own or any for an administrator.

    :raises TaskNotFound: there is none, or its time is over.
    """
    query = tasks.select_readable().where(_TABLE.id == task_id, *_owned(project_id, is_admin))
    found = tasks.load(session, query)
    if not found:
        raise exceptions.TaskNotFound(task_id)
    return found[0]


def list_page(
    session: Session, query: TaskQuery, project_id: str | None, is_admin: bool
) -> tuple[list[Task], bool]:
    """Return a page of the tasks that a project may read, and whether there are more.

    :raises InvalidRequest: the marker is no task that the caller may read.
    """
    conditions = _owned(project_id, is_admin)
    if query.status is not None:
        conditions.append(_TABLE.status == query.status)
    if query.type is not None:
        conditions.append(_TABLE.type == query.type)
    if query.marker is not None:
        conditions.append(_behind(session, query, project_id, is_admin))
    if not query.limit:
        return [], False
    order = [_TABLE[name].desc() if down else _TABLE[name].asc() for name, down in query.sort]
    selected = tasks.select_readable().where(*conditions)
    found = tasks.load(session, selected.order_by(*order).limit(query.limit + 1))
    return found[: query.limit], len(found) > query.limit


def _owned(project_id: str | None, is_admin: bool) -> list[Any]:
    # equal to NULL nothing is: without a project there are no tasks
    conditions: list[Any] = [_TABLE.deleted == sa.false()]
    if not is_admin:
        conditions.append(_TABLE.owner == project_id)
    return conditions


def _behind(session: Session, query: TaskQuery, project_id: str | None, is_admin: bool) -> Any:
    """Return the condition that a row stands behind the marker in the order of the query."""
    assert query.marker is not None
    try:
        marker = get(session, query.marker, project_id, is_admin)
    except exceptions.TaskNotFound:
        raise exceptions.InvalidRequest(
            'The query parameter marker is not the id of a task.'
        ) from None
    alternatives = []
    equal: list[Any] = []
    for name, descending in query.sort:
        value = marker.task_id if name == 'id' else getattr(marker, name)
        column = _TABLE[name]
        alternatives.append(sa.and_(*equal, column < value if descending else column > value))
        equal.append(column == value)
    return sa.or_(*alternatives)
