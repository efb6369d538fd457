# SPDX-License-Identifier: Apache-2.0
"""What TaskFlow keeps of a flow that is under way: its tables, of which we only remove."""

from __future__ import annotations

import sqlalchemy as sa

from glance_lite.db.engine import Session

_BOOKS = sa.table('logbooks', sa.column('uuid'))


def forget(session: Session, task_id: str) -> None:
    """Remove the flow of an import that is settled; its details go with it."""
    session.execute(_BOOKS.delete().where(_BOOKS.c.uuid == task_id))
