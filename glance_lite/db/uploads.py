# SPDX-License-Identifier: Apache-2.0
"""Bodies of image data that are coming in, and whether somebody still receives them."""

from __future__ import annotations

import sqlalchemy as sa

from glance_lite.db import models
from glance_lite.db.engine import Session, now_ms

_TABLE = models.uploads


def begin(session: Session, image_id: str, token: str) -> None:
    """Note that a body begins to come; in the transaction that changes the image's status.

    No other can have begun one, as the status was ``queued``.
    """
    session.execute(_INSERT, {'image_id': image_id, 'token': token})


def renew(session: Session, tokens: list[str]) -> None:
    """Tell that these bodies are still being received."""
    session.execute(_TABLE.update().where(_TABLE.c.token.in_(tokens)).values(seen_ms=now_ms()))


def end(session: Session, image_id: str, token: str) -> bool:
    """Note the end of a body; False if this receiver was given up meanwhile.

    In the transaction that decides on the image: the row stays locked until it ends.
    """
    return session.execute(_END, {'this_id': image_id, 'this_token': token}).rowcount == 1


def is_current(session: Session, image_id: str, token: str) -> bool:
    """Tell whether this receiver began the body, and it has not ended."""
    query = sa.select(_TABLE.c.token).where(_TABLE.c.image_id == image_id)
    return session.scalar(query) == token


def give_up(session: Session, image_id: str, token: str, silent_ms: int) -> bool:
    """End a body whose receiver is silent for so long; False if it spoke, or ended it, meanwhile.

    In the transaction that decides on the image, as :func:`end`.
    """
    return (
        session.execute(
            _TABLE.delete().where(
                _TABLE.c.image_id == image_id,
                _TABLE.c.token == token,
                _TABLE.c.seen_ms < now_ms() - silent_ms,
            )
        ).rowcount
        == 1
    )


def suspect(session: Session, silent_ms: int) -> None:
    """Make those that are silent for so long a trifle older.

    If the database takes this, it takes signs of life.
    """
    session.execute(
        _TABLE.update()
        .where(_TABLE.c.seen_ms < now_ms() - silent_ms)
        .values(seen_ms=_TABLE.c.seen_ms - 1)
    )


def list_silent(session: Session, silent_ms: int) -> list[tuple[str, str]]:
    """Return image id and token of bodies that nobody has renewed for so long."""
    rows = session.execute(
        sa.select(_TABLE.c.image_id, _TABLE.c.token).where(_TABLE.c.seen_ms < now_ms() - silent_ms)
    )
    return [(row.image_id, row.token) for row in rows]


# Statements of what is done for each upload: building one takes longer than running it.
_INSERT = _TABLE.insert().values(seen_ms=now_ms())
_END = _TABLE.delete().where(
    _TABLE.c.image_id == sa.bindparam('this_id', type_=sa.String()),
    _TABLE.c.token == sa.bindparam('this_token', type_=sa.String()),
)
