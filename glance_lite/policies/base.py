# SPDX-License-Identifier: Apache-2.0
"""Rules that others refer to, and the checks that many rules share."""

from __future__ import annotations

from oslo_policy import policy

ADMIN = 'rule:context_is_admin'
ADMIN_OR_PROJECT_MEMBER = 'rule:context_is_admin or (role:member and project_id:%(project_id)s)'
ADMIN_OR_PROJECT_READER = 'rule:context_is_admin or (role:reader and project_id:%(project_id)s)'
ADMIN_OR_PROJECT_READER_OR_IMAGE_MEMBER = (
    'rule:context_is_admin or (role:reader and (project_id:%(project_id)s or '
    'project_id:%(member_id)s))'
)
ADMIN_OR_IMAGE_MEMBER = 'rule:context_is_admin or (role:member and project_id:%(member_id)s)'
ADMIN_OR_SERVICE = 'rule:service_api or rule:context_is_admin'

_RULES = [
    policy.RuleDefault(
        'default', '', description='What a rule means that is defined nowhere else.'
    ),
    policy.RuleDefault(
        'context_is_admin', 'role:admin', description='Decides who is an administrator.'
    ),
    policy.RuleDefault(
        'service_api', 'role:service', description='Decides which callers are other services.'
    ),
]


def seen_by(role: str) -> str:
    """Return the check of who may do something with an image that can be seen by many.

    :param role: the role needed beside the image being visible.
    """
    return (
        f'rule:context_is_admin or (role:{role} and (project_id:%(project_id)s or '
        "project_id:%(member_id)s or 'community':%(visibility)s or "
        "'public':%(visibility)s or 'shared':%(visibility)s))"
    )


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
