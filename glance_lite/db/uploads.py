# SPDX-License-Identifier: Apache-2.0
"""Bodies of image data that are coming in, and whether somebody still receives them."""

from __future__ import annotations

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms

_TABLE = models.uploads


def begin(session: Session, image_id: str, token: str) -> None:
    """Note that a body begins to come; in the transaction that changes the image's status."""
    session.execute(_TABLE.delete().where(_TABLE.c.image_id == image_id))
    session.execute(_TABLE.insert().values(image_id=image_id, token=token, seen_ms=now_ms()))


def renew(session: Session, tokens: list[str]) -> None:
    """Tell that these bodies are still being received."""
    session.execute(_TABLE.update().where(_TABLE.c.token.in_(tokens)).values(seen_ms=now_ms()))


def end(session: Session, image_id: str, token: str) -> bool:
    """Note the end of a body; False if this receiver was given up meanwhile.

    In the transaction that decides on the image: the row stays locked until it ends.
    """
    return (
        session.execute(
            _TABLE.delete().where(_TABLE.c.image_id == image_id, _TABLE.c.token == token)
        ).rowcount
        == 1
    )


def list_silent(session: Session, silent_ms: int) -> list[tuple[str, str]]:
    """Return image id and token of bodies that nobody has renewed for so long."""
    rows = session.execute(
        sa.select(_TABLE.c.image_id, _TABLE.c.token).where(_TABLE.c.seen_ms < now_ms() - silent_ms)
    )
    return [(row.image_id, row.token) for row in rows]


def is_live(session: Session, image_id: str) -> bool:
    """Tell whether a body for the image is coming in."""
    token = session.scalar(sa.select(_TABLE.c.token).where(_TABLE.c.image_id == image_id))
    return token is not None
