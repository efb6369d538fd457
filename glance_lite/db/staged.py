# SPDX-License-Identifier: Apache-2.0
"""Complete staged data of images, waiting for an import."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, utcnow

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
    row = session.execute(sa.select(_TABLE).where(_TABLE.c.image_id == image_id)).one_or_none()
    if row is None:
        return None
    return Staged(row.image_id, row.area, row.file_name, json.loads(row.facts))


def insert(session: Session, staged: Staged) -> None:
    """Record complete staged data, in place of older data of the image."""
    delete(session, staged.image_id)
    session.execute(
        _TABLE.insert().values(
            image_id=staged.image_id,
            area=staged.area,
            file_name=staged.file_name,
            facts=json.dumps(staged.facts),
            created_at=utcnow(),
        )
    )


def list_older(session: Session, seconds: float) -> list[str]:
    """Return the ids of images whose staged data has waited for longer."""
    since = utcnow() - datetime.timedelta(seconds=seconds)
    return list(session.scalars(sa.select(_TABLE.c.image_id).where(_TABLE.c.created_at < since)))


def delete(session: Session, image_id: str) -> bool:
    """Forget the staged data of an image; True if there was some."""
    return session.execute(_TABLE.delete().where(_TABLE.c.image_id == image_id)).rowcount == 1
