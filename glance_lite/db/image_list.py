# SPDX-License-Identifier: Apache-2.0
"""Pages of images: filters, order and keyset pagination in SQL, the same on every database.

A page takes as long among many images as among few: see "Listings" in
``doc/source/admin/database.rst`` for the indexes, and ``image_sides.py`` for conditions on other
tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import image_sides, images, members, models
from glance_lite.db.engine import Session
from glance_lite.db.image_sides import MYSQL, Side, has
from glance_lite.db.image_statements import BARE
from glance_lite.domain import image as domain
from glance_lite.domain.image_query import Filter, ImageQuery

_TABLE = models.images
_ROW = list(BARE.selected_columns)
#: Columns that no index has: images are looked at one by one.
_WITHOUT_INDEX = frozenset({'virtual_size', 'min_disk', 'min_ram', 'os_hash_algo'})
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    'eq': lambda column, value: column == value,
    'neq': lambda column, value: column != value,
    'gt': lambda column, value: column > value,
    'gte': lambda column, value: column >= value,
    'lt': lambda column, value: column < value,
    'lte': lambda column, value: column <= value,
    'in': lambda column, value: column.in_(value),
}


@dataclasses.dataclass
class _Way:
    """On which a caller sees images: by ``side``, which may be counted, and other conditions.

    ``index`` has them in the order of the page, with others between them if not ``dense``.
    """

    index: str
    dense: bool
    conditions: list[Any]
    side: Side | None = None

    @property
    def condition(self) -> Any:
        """That an image is seen on it."""
        side = [] if self.side is None else [self.side.condition]
        return sa.and_(sa.true(), *self.conditions, *side)


def list_page(
    session: Session, query: ImageQuery, project_id: str | None, is_admin: bool
) -> tuple[list[domain.Image], bool]:
    """Return a page of the images that a project sees, and whether there are more.

    :raises InvalidRequest: the marker is no image that the caller sees.
    """
    behind = []
    if query.marker is not None:
        behind.append(_behind(session, query, project_id, is_admin))
    if not query.limit:
        return [], False
    # not IS false, for which MariaDB leaves its indexes alone
    listed = [_TABLE.c.deleted == sa.false()]
    listed += [_condition(each) for each in query.filters if each.column == 'os_hidden']
    wanted, others = _wanted(query, listed)
    ways = _ways(query, listed, project_id, is_admin)
    counted = [way.side for way in ways if way.side and not way.dense]
    image_sides.count(session, [*wanted, *counted])
    ways = [way for way in ways if way.side is None or way.side.count]
    if not ways or not all(side.count for side in wanted):
        return [], False
    conditions = [*listed, *others, *behind]
    rows = session.execute(_select(session.dialect.name, query, conditions, ways, wanted)).all()
    return images.load(session, rows[: query.limit]), len(rows) > query.limit


def _select(
    dialect: str, query: ImageQuery, conditions: list[Any], ways: list[_Way], wanted: list[Side]
) -> sa.Select[Any]:
    """Select the first of the images that are found on any of the ways.

    If few images have what is wanted, those are looked up. Else each way is a select of its own
    with the order and the limit of the page, as databases follow an index in its order only where
    no OR offers them several.
    """
    rarest = min(wanted, key=lambda side: side.count, default=None)
    if rarest is not None and rarest.is_rare:
        conditions += [side.condition for side in wanted if side is not rarest]
        any_way = sa.or_(*(way.condition for way in ways))
        found_few = image_sides.look_up(rarest, dialect)
        firsts = [_first(query, found_few.where(*conditions, any_way))]
    else:
        conditions += [side.condition for side in wanted]
        firsts = [_first(query, _on(way, dialect).where(*conditions)) for way in ways]
    if len(firsts) == 1:
        return firsts[0].with_only_columns(*_ROW)
    ids = [sa.select(first.subquery().c.id) for first in firsts]
    found = sa.union(*ids).subquery()
    return _first(query, sa.select(*_ROW).join_from(found, _TABLE, found.c.id == _TABLE.c.id))


def _on(way: _Way, dialect: str) -> sa.Select[Any]:
    """Select the images on a way: few are looked up, many read in the order of the page."""
    if way.side is not None and way.side.is_rare and not way.dense:
        return image_sides.look_up(way.side, dialect).where(*way.conditions)
    select = sa.select(_TABLE.c.id).where(way.condition)
    if dialect in MYSQL:  # the others see it themselves
        select = select.with_hint(_TABLE, f'FORCE INDEX ({way.index})', dialect)
    return select


def _first(query: ImageQuery, select: sa.Select[Any]) -> sa.Select[Any]:
    order = [
        _key(name).desc() if descending else _key(name).asc() for name, descending in query.sort
    ]
    return select.order_by(*order).limit(query.limit + 1)


def _ways(
    query: ImageQuery, listed: list[Any], project_id: str | None, is_admin: bool
) -> list[_Way]:
    """Return the ways on which a caller sees images; an image may be on several."""
    wanted, column, first = query.visibility, _TABLE.c.visibility, query.sort[0][0]
    in_order = {'created_at': None, 'id': 'PRIMARY'}.get(first, f'ix_images_{first}')

    def way(of: str, conditions: list[Any], side: Side | None = None, dense: bool = True) -> _Way:
        dense = dense and in_order is None
        return _Way(in_order or f'ix_images_{of}', dense, conditions, side)

    def seen_by_all(visibility: str) -> _Way:
        return way('visibility', [], has([*listed, column == visibility]))

    mine = way('owner', [], has([*listed, _TABLE.c.owner == project_id]))
    if is_admin:
        if wanted not in (None, 'all'):
            return [seen_by_all(wanted)]
        not_of_others = sa.or_(column != 'community', _TABLE.c.owner == project_id)
        return [way('listing', [] if wanted else [not_of_others])]
    open_to_all = {None: ('public',), 'all': ('public', 'community')}.get(wanted, (wanted,))
    ways = [seen_by_all(each) for each in open_to_all if each in ('public', 'community')]
    if project_id is None or wanted in ('public', 'community'):
        return ways
    if wanted not in (None, 'all'):
        mine.conditions.append(column == wanted)
    ways.append(mine)
    if wanted != 'private':
        shared = image_sides.is_shared(project_id, query.member_status)
        ways.append(way('visibility', [column == 'shared'], shared, dense=False))
    return ways


def _wanted(query: ImageQuery, listed: list[Any]) -> tuple[list[Side], list[Any]]:
    """Return what the filters want: what can be counted, and other conditions."""
    sides = [image_sides.has_tag(tag) for tag in query.tags]
    others: list[Any] = []
    by_column: dict[str, list[Any]] = {}
    for each in query.filters:
        if each.property is not None:
            sides.append(image_sides.has_property(each.property, each.value))
        elif each.column in _WITHOUT_INDEX or each.op == 'neq':
            others.append(_condition(each))
        elif each.column != 'os_hidden':
            by_column.setdefault(str(each.column), []).append(_condition(each))
    sides += [image_sides.has([*listed, *conditions]) for conditions in by_column.values()]
    return sides, others


def _condition(wanted: Filter) -> Any:
    compare, name = _COMPARE[wanted.op], str(wanted.column)
    condition = compare(_TABLE.c[name], wanted.value)
    if name in models.SORT_KEYS and wanted.op != 'neq':
        # a value is where its key is, and the key has an index
        condition &= compare(_key(name), wanted.value)
    return condition


def _key(name: str) -> Any:
    return _TABLE.c[models.SORT_KEYS.get(name, name)]


def _behind(session: Session, query: ImageQuery, project_id: str | None, is_admin: bool) -> Any:
    """Return the condition that a row stands behind the marker in the order of the query."""
    assert query.marker is not None
    try:
        marker = images.get_bare(session, query.marker)
    except exceptions.ImageNotFound:
        marker = None
    if marker is None or not members.can_see(session, marker, project_id, is_admin):
        raise exceptions.InvalidRequest('The query parameter marker is not the id of an image.')
    keys = [_key(name) for name, _ in query.sort]
    values = [_value(marker, name) for name, _ in query.sort]
    directions = [descending for _, descending in query.sort]
    if len(set(directions)) == 1 and session.dialect.name not in MYSQL:
        # an index leads to where a row of values stands; MariaDB finds that in the long form
        row, other = sa.tuple_(*keys), sa.tuple_(*values)
        return row < other if directions[0] else row > other
    alternatives = [
        sa.and_(
            *(key == value for key, value in zip(keys[:place], values[:place], strict=True)),
            keys[place] < values[place] if descending else keys[place] > values[place],
        )
        for place, descending in enumerate(directions)
    ]
    first = keys[0] <= values[0] if directions[0] else keys[0] >= values[0]
    return sa.and_(first, sa.or_(*alternatives))


def _value(marker: domain.Image, name: str) -> Any:
    """Return the value of an image by which it is sorted."""
    value = marker.image_id if name == 'id' else getattr(marker, name)
    if value is None:
        return -1 if name == 'size' else ''
    return value
