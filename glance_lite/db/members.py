# SPDX-License-Identifier: Apache-2.0
"""Members of images: the projects with which an image is shared.

A row grants something only while its image has the visibility ``shared``; it stays when that
changes, and goes when the image is deleted.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.db import models
from glance_lite.db.engine import Session, utcnow
from glance_lite.domain import image as domain
from glance_lite.domain.member import PENDING, Member

_TABLE = models.image_members
_OF_IMAGE = _TABLE.c.image_id == sa.bindparam('this_id')
_THIS = (_OF_IMAGE, _TABLE.c.member_id == sa.bindparam('this_member'))
_SELECT = _TABLE.select().where(*_THIS)
_LIST = _TABLE.select().where(_OF_IMAGE).order_by(_TABLE.c.created_at, _TABLE.c.member_id)
_COUNT = sa.select(sa.func.count()).select_from(_TABLE).where(_OF_IMAGE)
_EXISTS = sa.select(_TABLE.c.status).where(*_THIS)
_INSERT = _TABLE.insert()
_UPDATE = _TABLE.update().where(*_THIS)
_DELETE = _TABLE.delete().where(*_THIS)


def can_see(session: Session, image: domain.Image, project_id: str | None, is_admin: bool) -> bool:
    """Tell whether a project can see an image, as a member or otherwise."""
    if domain.is_visible_to(image, project_id, is_admin):
        return True
    return (
        image.visibility == 'shared'
        and project_id is not None
        and exists(session, image.image_id, project_id)
    )


def list_all(session: Session, image_id: str) -> list[Member]:
    """Return the members of an image, the oldest first."""
    return [_from_row(row) for row in session.execute(_LIST, {'this_id': image_id})]


def count(session: Session, image_id: str) -> int:
    """Return how many members an image has."""
    return session.scalar(_COUNT, {'this_id': image_id}) or 0


def exists(session: Session, image_id: str, member_id: str) -> bool:
    """Tell whether a project is a member of an image."""
    values = {'this_id': image_id, 'this_member': member_id}
    return session.execute(_EXISTS, values).first() is not None


def get(session: Session, image_id: str, member_id: str) -> Member:
    """Return a member of an image.

    :raises MemberNotFound: the project is none.
    """
    values = {'this_id': image_id, 'this_member': member_id}
    row = session.execute(_SELECT, values).one_or_none()
    if row is None:
        raise exceptions.MemberNotFound(image_id, member_id)
    return _from_row(row)


def insert(session: Session, image_id: str, member_id: str) -> Member:
    """Add a member, who has not answered yet.

    :raises MemberExists: the project is one already.
    """
    now = utcnow()
    member = Member(image_id, member_id, PENDING, now, now)
    try:
        session.execute(_INSERT, vars(member))
    except db_exception.DBDuplicateEntry as error:
        raise exceptions.MemberExists(
            f'Image {image_id} is shared with project {member_id} already.'
        ) from error
    return member


def update(session: Session, image_id: str, member_id: str, status: str) -> Member:
    """Set the status of a member, and return the member as it is then.

    :raises MemberNotFound: the project is none.
    """
    values = {'status': status, 'updated_at': utcnow()}
    session.execute(_UPDATE, {'this_id': image_id, 'this_member': member_id, **values})
    return get(session, image_id, member_id)


def delete(session: Session, image_id: str, member_id: str) -> None:
    """Remove a member.

    :raises MemberNotFound: the project is none.
    """
    values = {'this_id': image_id, 'this_member': member_id}
    if not session.execute(_DELETE, values).rowcount:
        raise exceptions.MemberNotFound(image_id, member_id)


def _from_row(row: sa.Row[Any]) -> Member:
    return Member(row.image_id, row.member_id, row.status, row.created_at, row.updated_at)
