# SPDX-License-Identifier: Apache-2.0
"""Pages of images: filters, order and keyset pagination in SQL, the same on every database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import images, members, models
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain.image_query import Filter, ImageQuery

_TABLE = models.images
#: Columns that may be NULL sort by this instead, as databases disagree where NULL stands.
_INSTEAD_OF_NULL: dict[str, Any] = {
    'name': '',
    'container_format': '',
    'disk_format': '',
    'size': -1,
}
_COMPARE = {
    'eq': lambda column, value: column == value,
    'neq': lambda column, value: column != value,
    'gt': lambda column, value: column > value,
    'gte': lambda column, value: column >= value,
    'lt': lambda column, value: column < value,
    'lte': lambda column, value: column <= value,
    'in': lambda column, value: column.in_(value),
}


def list_page(
    session: Session, query: ImageQuery, project_id: str | None, is_admin: bool
) -> tuple[list[domain.Image], bool]:
    """Return a page of the images that a project sees, and whether there are more.

    :raises InvalidRequest: the marker is no image that the caller sees.
    """
    # not IS false, for which MariaDB leaves its indexes alone
    conditions = [_TABLE.c.deleted == sa.false()]
    conditions += [_condition(each) for each in query.filters]
    conditions += [_has_tag(tag) for tag in query.tags]
    if query.marker is not None:
        conditions.append(_behind(session, query, project_id, is_admin))
    if not query.limit:
        return [], False
    ways = _ways(query, project_id, is_admin)
    rows = session.execute(_select(query, conditions, ways)).all() if ways else []
    return images.load(session, rows[: query.limit]), len(rows) > query.limit


def _select(query: ImageQuery, conditions: list[Any], ways: list[list[Any]]) -> sa.Select[Any]:
    """Select the first of the images that are found on any of the ways.

    Each way is a select of its own with the order and the limit of the page, as databases follow
    an index in its order only where no OR offers them several.
    """
    if len(ways) == 1:
        return _first(query, sa.select(_TABLE).where(*conditions, *ways[0]))
    firsts = [
        _first(query, sa.select(_TABLE.c.id).where(*conditions, *way)).subquery() for way in ways
    ]
    found = sa.union_all(*(sa.select(first.c.id) for first in firsts)).subquery()
    return _first(query, sa.select(_TABLE).join(found, found.c.id == _TABLE.c.id))


def _first(query: ImageQuery, select: sa.Select[Any]) -> sa.Select[Any]:
    order = [
        _key(name).desc() if descending else _key(name).asc() for name, descending in query.sort
    ]
    return select.order_by(*order).limit(query.limit + 1)


def _ways(query: ImageQuery, project_id: str | None, is_admin: bool) -> list[list[Any]]:
    """Return the ways on which a caller sees images; no image is on two of them."""
    wanted, column = query.visibility, _TABLE.c.visibility
    if is_admin and wanted is not None:
        return [[] if wanted == 'all' else [column == wanted]]
    mine = _TABLE.c.owner == project_id
    if is_admin:
        others = [column != 'community']
        return [others] if project_id is None else [others, [column == 'community', mine]]
    seen_by_all = {None: ('public',), 'all': ('public', 'community')}.get(wanted, (wanted,))
    ways = [[column == each] for each in seen_by_all if each in ('public', 'community')]
    if project_id is None or wanted in ('public', 'community'):
        return ways
    own = column.not_in(seen_by_all) if wanted in (None, 'all') else column == wanted
    ways.append([mine, own])
    if wanted != 'private':
        is_other = sa.or_(_TABLE.c.owner != project_id, _TABLE.c.owner.is_(None))
        shared = _TABLE.c.id.in_(_shared(query, project_id))
        ways.append([column == 'shared', shared, is_other])
    return ways


def _shared(query: ImageQuery, project_id: str) -> Any:
    """Select the ids of the images that others share with a project."""
    side = models.image_members
    found = sa.select(side.c.image_id).where(side.c.member_id == project_id)
    if query.member_status is not None:
        found = found.where(side.c.status == query.member_status)
    return found


def _condition(wanted: Filter) -> Any:
    if wanted.column is not None:
        return _COMPARE[wanted.op](_TABLE.c[wanted.column], wanted.value)
    side = models.image_properties
    return sa.exists().where(
        side.c.image_id == _TABLE.c.id,
        side.c.name == wanted.property,
        side.c.value == wanted.value,
    )


def _has_tag(tag: str) -> Any:
    side = models.image_tags
    return sa.exists().where(side.c.image_id == _TABLE.c.id, side.c.value == tag)


def _key(name: str) -> Any:
    column = _TABLE.c[name]
    if name in _INSTEAD_OF_NULL:
        return sa.func.coalesce(column, _INSTEAD_OF_NULL[name])
    return column


def _behind(session: Session, query: ImageQuery, project_id: str | None, is_admin: bool) -> Any:
    """Return the condition that a row stands behind the marker in the order of the query."""
    assert query.marker is not None
    try:
        marker = images.get(session, query.marker)
    except exceptions.ImageNotFound:
        marker = None
    if marker is None or not members.can_see(session, marker, project_id, is_admin):
        raise exceptions.InvalidRequest('The query parameter marker is not the id of an image.')
    alternatives = []
    equal: list[Any] = []
    for name, descending in query.sort:
        value = marker.image_id if name == 'id' else getattr(marker, name)
        if value is None:
            value = _INSTEAD_OF_NULL[name]
        key = _key(name)
        alternatives.append(sa.and_(*equal, key < value if descending else key > value))
        equal.append(key == value)
    return sa.or_(*alternatives)
