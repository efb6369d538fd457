# SPDX-License-Identifier: Apache-2.0
"""Conditions of a listing that an index can answer, and how many images fulfil each of them.

Databases decide badly which index to take where a page needs only the first rows of an order. So
it is counted, up to a bound, how many images fulfil a condition. If these are few, they are looked
up; if they are many, some of the first rows in the order of the page are among them. Pages are
made of these conditions in ``image_list.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session

#: As many images as are looked up to be sorted.
FEW = 1000
#: The dialects of MariaDB, which is told which index to follow.
MYSQL = ('mysql', 'mariadb')
_IMAGES = models.images
#: The images once more, beside those of the page.
_OTHERS = models.images.alias('others')


@dataclasses.dataclass
class Side:
    """A condition: on a row of the images table (``condition``), and where its images are found.

    ``count`` stops at one more than :data:`FEW`.
    """

    condition: Any
    image_id: Any
    where: list[Any]
    count: int = FEW + 1

    @property
    def is_rare(self) -> bool:
        """Whether so few images fulfil it that they can be looked up."""
        return self.count <= FEW

    def counted(self) -> Any:
        """Return the query for ``count``."""
        some = sa.select(self.image_id).where(*self.where).limit(FEW + 1).subquery()
        return sa.select(sa.func.count()).select_from(some).scalar_subquery()


def has_property(name: str, value: str) -> Side:
    """Return the condition that a custom property has a value."""
    side = models.image_properties.c
    where = [side.name == name, side.value_start == value[: models.VALUE_START]]
    if len(value) >= models.VALUE_START:
        where.append(side.value == value)
    return _beside(side.image_id, where)


def has_tag(tag: str) -> Side:
    """Return the condition that an image has a tag."""
    side = models.image_tags.c
    return _beside(side.image_id, [side.value == tag])


def is_shared(project_id: str, status: str | None) -> Side:
    """Return the condition that an image is shared with a project, which answered ``status``."""
    side = models.image_members.c
    where = [side.member_id == project_id]
    if status is not None:
        where.append(side.status == status)
    return _beside(side.image_id, where)


def has(conditions: Sequence[Any]) -> Side:
    """Return conditions on columns of images, for which there is an index, as one."""
    condition = sa.and_(*conditions)
    adapted = sa.sql.util.ClauseAdapter(_OTHERS).traverse(condition)
    return Side(condition, _OTHERS.c.id, [adapted])


def count(session: Session, sides: Sequence[Side]) -> None:
    """Count how many images fulfil each of the conditions."""
    if sides:
        row = session.execute(sa.select(*(side.counted() for side in sides))).one()
        for side, number in zip(sides, row, strict=True):
            side.count = number


def look_up(side: Side, dialect: str) -> sa.Select[Any]:
    """Select the images that fulfil a rare condition, each by its id."""
    ids = sa.select(side.image_id.label('id')).where(*side.where)
    select = sa.select(_IMAGES.c.id)
    if dialect == 'postgresql':  # which would rather read all images than look up some hundreds
        return select.where(_IMAGES.c.id == sa.any_(sa.func.array(ids.scalar_subquery())))
    # a limit out of reach keeps databases from joining in another order
    found = ids.limit(10 * FEW).subquery()
    select = select.join_from(found, _IMAGES, found.c.id == _IMAGES.c.id)
    return select.prefix_with('STRAIGHT_JOIN', dialect=dialect) if dialect in MYSQL else select


def _beside(image_id: Any, where: list[Any]) -> Side:
    # a scalar query, as no database turns it into a join, which it may do with EXISTS
    row = sa.select(image_id).where(image_id == _IMAGES.c.id, *where).limit(1)
    return Side(row.scalar_subquery().is_not(None), image_id, where)
