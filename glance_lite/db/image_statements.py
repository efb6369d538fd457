# SPDX-License-Identifier: Apache-2.0
"""The statements of ``images.py``, built once: building one takes longer than running it.

Parameters have the names of columns where they are values to write. Where they are conditions they
are called ``this_id``, ``these_ids``, ``old_status``, ``old_task`` and ``these_names``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import compiler

from glance_lite.db import models

#: Columns of the images table that are attributes of :class:`~glance_lite.domain.image.Image`, in
#: the order of these: rows become images by position, as by name it takes ten times as long.
COLUMNS = (
    'name',
    'status',
    'visibility',
    'protected',
    'os_hidden',
    'owner',
    'checksum',
    'os_hash_algo',
    'os_hash_value',
    'size',
    'virtual_size',
    'disk_format',
    'container_format',
    'min_disk',
    'min_ram',
    'import_task_id',
    'created_at',
    'updated_at',
)
#: The column ``kind`` of :data:`WHOLE` and :data:`BESIDE`: what the row is.
IMAGE, PROPERTY, TAG, LOCATION = range(4)

_IMAGES = models.images.c
_THIS = sa.bindparam('this_id', type_=sa.String())
_IS_THIS = (_IMAGES.id == _THIS, _IMAGES.deleted.is_(False))


def _beside(belongs: Callable[[Any], Any], padding: int = 0) -> list[sa.Select[Any]]:
    """Select properties, tags and locations by columns that fit together.

    They are: id of the image, kind, place among its like, name, value, metadata, then NULLs. All
    properties of an image are one row, as an object in JSON, and so are its tags, as the names in
    one: drivers take long for each row.

    :param belongs: makes of a column with the id of an image the condition.
    """

    def together(kind: int, image_id: Any, name: Any, value: Any) -> sa.Select[Any]:
        in_one = _json_object(name, value)
        return select(kind, image_id, _number(0), sa.null(), in_one).group_by(image_id)

    def select(kind: int, image_id: Any, place: Any, *values: Any) -> sa.Select[Any]:
        nulls = [sa.null()] * (3 - len(values) + padding)
        first = [image_id.label('id'), _number(kind).label('kind'), place.label('place')]
        return sa.select(*first, *values, *nulls).where(belongs(image_id))

    properties, tags = models.image_properties.c, models.image_tags.c
    places = models.image_locations.c
    return [
        together(PROPERTY, properties.image_id, properties.name, properties.value),
        together(TAG, tags.image_id, tags.value, _number(1)),
        select(LOCATION, places.image_id, places.id, places.store, places.url, places.metadata),
    ]


class _json_object(sa.sql.functions.GenericFunction[str]):
    """An object in JSON of the names and values of all rows."""

    type = sa.Text()
    inherit_cache = True


@compiler.compiles(_json_object, 'sqlite')
def _object_sqlite(element: Any, comp: Any, **kw: Any) -> str:
    return f'json_group_object({comp.process(element.clauses, **kw)})'


@compiler.compiles(_json_object, 'postgresql')
def _object_postgresql(element: Any, comp: Any, **kw: Any) -> str:
    return f'CAST(json_object_agg({comp.process(element.clauses, **kw)}) AS TEXT)'


@compiler.compiles(_json_object, 'mysql')
@compiler.compiles(_json_object, 'mariadb')
def _object_mysql(element: Any, comp: Any, **kw: Any) -> str:
    return f'JSON_OBJECTAGG({comp.process(element.clauses, **kw)})'


def _number(value: int) -> sa.ColumnClause[int]:
    return sa.literal_column(str(value), sa.Integer())


_OTHERS = [_IMAGES[name] for name in COLUMNS if name != 'name']
#: An image and what stands beside it, in one round trip to the database.
WHOLE = sa.union_all(
    sa.select(
        _IMAGES.id,
        _number(IMAGE).label('kind'),
        _number(0).label('place'),
        _IMAGES.name,
        sa.null().label('value'),
        sa.null().label('metadata'),
        *_OTHERS,
    ).where(*_IS_THIS),
    *_beside(lambda image_id: image_id == _THIS, padding=len(_OTHERS)),
)
#: What stands beside several images.
BESIDE = sa.union_all(
    *_beside(lambda image_id: image_id.in_(sa.bindparam('these_ids', expanding=True)))
)
#: The row of an image alone: what ``images.load`` makes an image of.
BARE = sa.select(_IMAGES.id, *(_IMAGES[name] for name in COLUMNS))
ROW = BARE.where(*_IS_THIS)
#: The row of an image, deleted or not.
TAKEN = sa.select(_IMAGES.id).where(_IMAGES.id == _THIS)
#: Lock the row of an image.
LOCK = sa.select(_IMAGES.id).where(*_IS_THIS).with_for_update()

INSERT = models.images.insert()
INSERT_PROPERTIES = models.image_properties.insert()
INSERT_TAGS = models.image_tags.insert()
INSERT_LOCATIONS = models.image_locations.insert()

#: Let an import task hold an image that none holds.
HOLD = models.images.update().where(
    *_IS_THIS, _IMAGES.status == sa.bindparam('old_status'), _IMAGES.import_task_id.is_(None)
)

DELETE_PROPERTIES = models.image_properties.delete().where(
    models.image_properties.c.image_id == _THIS,
    models.image_properties.c.name.in_(sa.bindparam('these_names', expanding=True)),
)
#: All rows of an image in a table beside.
DELETE_ALL = {
    table: table.delete().where(table.c.image_id == _THIS)
    for table in (
        models.image_properties,
        models.image_tags,
        models.image_locations,
        models.image_members,
        models.staged,
        models.uploads,
    )
}


@functools.cache
def update(statuses: int | None, held: bool) -> sa.Update:
    """Return an update of an image.

    :param statuses: how many values ``old_status`` has; None for an image in any status.
    :param held: whether ``old_task`` must hold the image.
    """
    conditions = list(_IS_THIS)
    if statuses == 1:
        conditions.append(_IMAGES.status == sa.bindparam('old_status'))
    elif statuses is not None:
        conditions.append(_IMAGES.status.in_(sa.bindparam('old_status', expanding=True)))
    if held:
        conditions.append(_IMAGES.import_task_id == sa.bindparam('old_task'))
    return models.images.update().where(*conditions)
