# SPDX-License-Identifier: Apache-2.0
"""Pages of images: filters, order and keyset pagination in SQL, the same on every database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import images, models
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
    conditions = [_TABLE.c.deleted.is_(False), *_visible(query.visibility, project_id, is_admin)]
    conditions += [_condition(each) for each in query.filters]
    conditions += [_has_tag(tag) for tag in query.tags]
    if query.marker is not None:
        conditions.append(_behind(session, query, project_id, is_admin))
    if not query.limit:
        return [], False
    order = [
        _key(name).desc() if descending else _key(name).asc() for name, descending in query.sort
    ]
    rows = session.execute(
        sa.select(_TABLE).where(*conditions).order_by(*order).limit(query.limit + 1)
    ).all()
    return images.load(session, rows[: query.limit]), len(rows) > query.limit


def _visible(visibility: str | None, project_id: str | None, is_admin: bool) -> list[Any]:
    column = _TABLE.c.visibility
    wanted = [] if visibility in (None, 'all') else [column == visibility]
    if is_admin:
        return wanted
    open_to_all = ('public', 'community') if visibility in ('all', 'community') else ('public',)
    mine = sa.false() if project_id is None else _TABLE.c.owner == project_id
    return [*wanted, sa.or_(column.in_(open_to_all), mine)]


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
    if marker is None or not domain.is_visible_to(marker, project_id, is_admin):
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
