# SPDX-License-Identifier: Apache-2.0
"""Complete staged data of images, waiting for an import."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, utc_in
from glance_lite.domain import image as domain

_TABLE = models.staged


@dataclasses.dataclass(frozen=True)
class Staged:
    """Where staged data lies, and the facts measured while it came (see ``image_data``)."""

    image_id: str
    area: str
    file_name: str
    facts: dict[str, Any]


def get(session: Session, image_id: str) -> Staged | None:
    """Return the staged data of an image, None if there is none."""
    row = session.execute(_GET, {'this_id': image_id}).one_or_none()
    return None if row is None else _from_row(row)


def insert(session: Session, staged: Staged) -> None:
    """Record complete staged data, in place of older data of the image."""
    delete(session, staged.image_id)
    values = {
        'image_id': staged.image_id,
        'area': staged.area,
        'file_name': staged.file_name,
        'facts': json.dumps(staged.facts),
    }
    session.execute(_INSERT, values)


def update_facts(session: Session, image_id: str, facts: dict[str, Any]) -> None:
    """Keep other facts of the staged data of an image."""
    session.execute(
        _TABLE.update().where(_TABLE.c.image_id == image_id).values(facts=json.dumps(facts))
    )


def list_older(session: Session, seconds: float) -> list[Staged]:
    """Return the staged data that has waited for longer, by the database's clock."""
    rows = session.execute(sa.select(_TABLE).where(_TABLE.c.created_at < utc_in(-seconds)))
    return [_from_row(row) for row in rows]


def list_unwanted(session: Session) -> list[Staged]:
    """Return the staged data of images that neither wait for an import nor have one."""
    images = models.images
    rows = session.execute(
        sa.select(_TABLE)
        .join(images, images.c.id == _TABLE.c.image_id)
        .where(images.c.status.not_in((domain.UPLOADING, domain.IMPORTING)))
    )
    return [_from_row(row) for row in rows]


def delete(session: Session, image_id: str) -> bool:
    """Forget the staged data of an image; True if there was some."""
    return session.execute(_DELETE, {'this_id': image_id}).rowcount == 1


def _from_row(row: Any) -> Staged:
    return Staged(row.image_id, row.area, row.file_name, json.loads(row.facts))


# Statements of what is done for each import: building one takes longer than running it.
_IS_THIS = _TABLE.c.image_id == sa.bindparam('this_id', type_=sa.String())
_GET = sa.select(_TABLE).where(_IS_THIS)
_INSERT = _TABLE.insert().values(created_at=utc_in(0))  # by one clock for all hosts
_DELETE = _TABLE.delete().where(_IS_THIS)
