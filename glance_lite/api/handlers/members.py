# SPDX-License-Identifier: Apache-2.0
"""Members of an image: with which projects its owner shares it, and what they answer.

Only images of the visibility ``shared`` have members to see or change. Owners and administrators
see all of them; a member sees itself alone, and the others are not there for it.
"""

from __future__ import annotations

from typing import Any

from glance_lite import exceptions
from glance_lite.api import access, views
from glance_lite.api.schemas import members as schemas
from glance_lite.api.schemas import validation
from glance_lite.api.wsgi import Reply, Request
from glance_lite.db import members
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules, text
from glance_lite.domain.member import Member


def list_members(request: Request) -> Reply:
    """``GET /v2/images/{image_id}/members``: show the members that the caller sees."""

    def work(session: Session) -> list[Member]:
        image = access.load_image(request, session, 'get_members')
        _require_shared(image)
        return [
            member
            for member in members.list_all(session, image.image_id)
            if _sees(request, image, member)
        ]

    found = [views.member(member) for member in request.services.db.read(work)]
    return Reply(data={'members': found, 'schema': '/v2/schemas/members'})


def add_member(request: Request) -> Reply:
    """``POST /v2/images/{image_id}/members``: share an image with one more project.

    :raises MemberExists: it is shared with it already.
    :raises LimitExceeded: the image has as many members as it may.
    """
    body = request.read_json()
    validation.check(schemas.ADDING, body, 'The body')
    member_id = body['member']
    text.require_plain(member_id, 'The member')

    def work(session: Session) -> Member:
        image = access.load_image(request, session, 'add_member', for_update=True)
        _require_shared(image)
        member = members.insert(session, image.image_id, member_id)
        limit = request.services.conf.image_member_quota
        image_rules.check_quota(range(members.count(session, image.image_id)), limit, 'members')
        return member

    member = request.services.db.transact(
        work, done=lambda session: members.exists(session, request.args['image_id'], member_id)
    )
    request.services.notifier.member('create', member)
    return Reply(data=views.member(member))


def get_member(request: Request) -> Reply:
    """``GET /v2/images/{image_id}/members/{member_id}``: show a member.

    :raises MemberNotFound: there is none that the caller sees.
    """

    def work(session: Session) -> Member:
        image = access.load_image(request, session, 'get_image')
        if image.visibility != 'shared':
            raise _not_found(request)
        return _load(request, session, image)

    return Reply(data=views.member(request.services.db.read(work)))


def update_member(request: Request) -> Reply:
    """``PUT /v2/images/{image_id}/members/{member_id}``: answer as a member.

    :raises MemberNotFound: there is none that the caller sees.
    """
    body = request.read_json()
    validation.check(schemas.ANSWERING, body, 'The body')

    def work(session: Session) -> Member:
        image, member = _load_for(request, session, 'modify_member')
        return members.update(session, image.image_id, member.member_id, body['status'])

    member = request.services.db.transact(work, done=lambda session: False)
    request.services.notifier.member('update', member)
    return Reply(data=views.member(member))


def delete_member(request: Request) -> Reply:
    """``DELETE /v2/images/{image_id}/members/{member_id}``: share an image with one project less.

    :raises MemberNotFound: there is none that the caller sees.
    """

    def work(session: Session) -> Member:
        image, member = _load_for(request, session, 'delete_member')
        members.delete(session, image.image_id, member.member_id)
        return member

    image_id, member_id = request.args['image_id'], request.args['member_id']
    member = request.services.db.transact(
        work, done=lambda session: not members.exists(session, image_id, member_id)
    )
    request.services.notifier.member('delete', member)
    return Reply(204)


def _load_for(request: Request, session: Session, rule: str) -> tuple[domain.Image, Member]:
    """Return the image and the member that the route names, if the caller passes ``rule``."""
    image = access.load_image(request, session, 'get_image', for_update=True)
    _require_shared(image)
    member = _load(request, session, image)
    request.services.policy.require(request.context, rule, _target(request, image, member))
    return image, member


def _load(request: Request, session: Session, image: domain.Image) -> Member:
    member_id = request.args['member_id']
    text.require_plain(member_id, 'The member')
    member = members.get(session, image.image_id, member_id)
    if not _sees(request, image, member):
        raise _not_found(request)
    return member


def _sees(request: Request, image: domain.Image, member: Member) -> bool:
    context = request.context
    if not context.is_admin and context.project_id not in (image.owner, member.member_id):
        return False
    return request.services.policy.allows(context, 'get_member', _target(request, image, member))


def _target(request: Request, image: domain.Image, member: Member) -> dict[str, Any]:
    return {**access.target_of(request.context, image), 'member_id': member.member_id}


def _require_shared(image: domain.Image) -> None:
    if image.visibility != 'shared':
        raise exceptions.Forbidden(
            f'Only a shared image has members; the visibility of this one is {image.visibility}.'
        )


def _not_found(request: Request) -> exceptions.MemberNotFound:
    return exceptions.MemberNotFound(request.args['image_id'], request.args['member_id'])
