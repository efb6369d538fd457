# SPDX-License-Identifier: Apache-2.0
"""Whether a caller may add such an image: policy, visibility, protected properties, quotas.

Asked when an image is created, when a task is to make one, and once more before that one appears.
What its attributes look like one by one is the business of ``api/attributes.py``.
"""

from __future__ import annotations

from oslo_config import cfg

from glance_lite import quotas
from glance_lite.context import RequestContext
from glance_lite.db import images
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import image_rules
from glance_lite.domain.quota import Limits
from glance_lite.policy import Policy, target_of
from glance_lite.property_protection import CREATE, PropertyProtection

_RULES = {'public': 'publicize_image', 'community': 'communitize_image'}


def require_creation(
    policy: Policy,
    conf: cfg.ConfigOpts,
    context: RequestContext,
    image: domain.Image,
    protection: PropertyProtection | None,
) -> None:
    """Raise unless the caller may add this image.

    :raises Forbidden: a policy rule refuses it, or a property is protected.
    :raises LimitExceeded: it has more properties or tags than an image may have.
    """
    target = target_of(context, image)
    target['project_id'] = context.owner
    policy.require(context, 'add_image', target)
    require_visibility(policy, context, image)
    if protection is not None:
        for name in image.properties:
            protection.require(CREATE, name, context, lambda rule: policy.allows(context, rule, {}))
    require_quotas(conf, image)


def require_visibility(policy: Policy, context: RequestContext, image: domain.Image) -> None:
    """Raise unless the caller may make an image as visible as it is.

    :raises Forbidden: they may not.
    """
    rule = _RULES.get(image.visibility)
    if rule is not None:
        policy.require(context, rule, target_of(context, image))


def require_quotas(
    conf: cfg.ConfigOpts, image: domain.Image, before: domain.Image | None = None
) -> None:
    """Raise when an image has more than it may have, unless it had as much before a change.

    So an image that is above a limit that was lowered can still be changed, and brought below it.

    :raises LimitExceeded: naming what there is too much of.
    """
    own = image_rules.own_properties
    had = len(own(before.properties)) if before else 0
    image_rules.check_quota(own(image.properties), conf.image_property_quota, 'properties', had)
    had = len(before.tags) if before else 0
    image_rules.check_quota(image.tags, conf.image_tag_quota, 'tags', had)


def insert(session: Session, limits: Limits, image: domain.Image) -> None:
    """Add an image if its project may have one more; errors also as :func:`db.images.insert`.

    :raises LimitExceeded: the project has as many as it may.
    """
    quotas.require_image(session, limits, image.owner)
    images.insert(session, image)
