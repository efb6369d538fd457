# SPDX-License-Identifier: Apache-2.0
"""Rules of sharing images. Whoever does not see an image does not see its members either."""

from __future__ import annotations

from oslo_policy import policy

from glance_lite.policies import base

_SCOPES = ['project']
_MEMBERS, _MEMBER = '/v2/images/{image_id}/members', '/v2/images/{image_id}/members/{member_id}'

_RULES: list[policy.RuleDefault] = [
    policy.DocumentedRuleDefault(
        'add_member',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Share an image with a project.',
        [{'path': _MEMBERS, 'method': 'POST'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'get_members',
        base.ADMIN_OR_PROJECT_READER_OR_IMAGE_MEMBER,
        'List the members of an image; a member sees itself alone.',
        [{'path': _MEMBERS, 'method': 'GET'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'get_member',
        base.ADMIN_OR_PROJECT_READER_OR_IMAGE_MEMBER,
        'Show a member of an image, and each member of a list.',
        [
            {'path': _MEMBER, 'method': 'GET'},
            {'path': _MEMBERS, 'method': 'GET'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'modify_member',
        base.ADMIN_OR_IMAGE_MEMBER,
        'Accept or reject an image that is shared.',
        [{'path': _MEMBER, 'method': 'PUT'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'delete_member',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Share an image with a project no longer.',
        [{'path': _MEMBER, 'method': 'DELETE'}],
        scope_types=_SCOPES,
    ),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
