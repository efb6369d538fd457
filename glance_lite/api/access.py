# SPDX-License-Identifier: Apache-2.0
"""Which images a caller finds, and what they may do with one.

What they cannot see is not there (404); what they see but may not do is forbidden (403).
"""

from __future__ import annotations

from glance_lite import exceptions
from glance_lite.api.wsgi import Request
from glance_lite.db import images, members
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import text
from glance_lite.domain.quota import Limits
from glance_lite.policy import target_of as target_of


def load_image(
    request: Request, session: Session, rule: str, for_update: bool = False
) -> domain.Image:
    """Return the image that the route names, if the caller passes ``rule`` for it.

    :param for_update: hold the image's row until the transaction ends.
    :raises ImageNotFound: there is none that the caller can see.
    :raises Forbidden: the caller sees it, but does not pass the rule.
    """
    image_id = request.args['image_id']
    if not text.is_uuid(image_id):
        raise exceptions.ImageNotFound(image_id)
    find = images.get_for_update if for_update else images.get
    image = find(session, image_id)
    require(request, session, image, rule)
    return image


def limits_of_owner(request: Request, rule: str, *wanted: str) -> Limits:
    """Return what the project may have that owns the image of the route; errors as above.

    To be asked while no transaction is open.

    :param wanted: the limits that are needed, as ``domain.quota`` names them.
    :raises ServiceUnavailable: Keystone has the limits, and cannot be asked.
    """
    services = request.services
    if services.unified_limits is None:  # they are the same for all
        return services.limits_of(None)
    image = services.db.read(lambda session: load_image(request, session, rule))
    return services.limits_of(image.owner, *wanted)


def load_for_services(
    request: Request, session: Session, rule: str, for_update: bool = False
) -> domain.Image:
    """Return an image as :func:`load_image` does; other services of the cloud find every image.

    Errors as above. They are those that the rule ``service_api`` lets pass.
    """
    context, policy = request.context, request.services.policy
    if not policy.allows(context, 'service_api', {}) or not text.is_uuid(request.args['image_id']):
        return load_image(request, session, rule, for_update)
    find = images.get_for_update if for_update else images.get
    image = find(session, request.args['image_id'])
    policy.require(context, rule, target_of(context, image))
    return image


def require_way_past_import(request: Request) -> None:
    """Raise where images become active by an import alone.

    :raises Forbidden: ``[import] require_import`` says so.
    """
    if request.services.conf['import'].require_import:
        raise exceptions.Forbidden(
            'Images become active by an import alone here: stage the data, or name its URL, and '
            'call /v2/images/{image_id}/import.'
        )


def require(request: Request, session: Session, image: domain.Image, rule: str) -> None:
    """Raise unless the caller sees an image and passes a rule for it; errors as above."""
    context, policy = request.context, request.services.policy
    if not members.can_see(session, image, context.project_id, bool(context.is_admin)):
        raise exceptions.ImageNotFound(image.image_id)
    target = target_of(context, image)
    if policy.allows(context, rule, target):
        return
    if rule == 'get_image' or not policy.allows(context, 'get_image', target):
        raise exceptions.ImageNotFound(image.image_id)
    policy.require(context, rule, target)
