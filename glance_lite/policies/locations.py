# SPDX-License-Identifier: Apache-2.0
"""Rules of where the data of images rests."""

from __future__ import annotations

from oslo_policy import policy

from glance_lite.policies import base

_SCOPES = ['project']

_RULES: list[policy.RuleDefault] = [
    policy.DocumentedRuleDefault(
        'set_image_location',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Add and replace locations of an image, where show_multiple_locations is set.',
        [{'path': '/v2/images/{image_id}', 'method': 'PATCH'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'delete_image_location',
        base.ADMIN,
        'Remove the data of an image from one of its stores, or one of its locations.',
        [
            {'path': '/v2/stores/{store_id}/{image_id}', 'method': 'DELETE'},
            {'path': '/v2/images/{image_id}', 'method': 'PATCH'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'get_image_location',
        base.ADMIN_OR_PROJECT_READER,
        'Know where the data of an image rests: show it, where show_multiple_locations is set.',
        [
            {'path': '/v2/stores/{store_id}/{image_id}', 'method': 'DELETE'},
            {'path': '/v2/images/{image_id}', 'method': 'GET'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'add_image_location',
        f'{base.ADMIN_OR_SERVICE} or (role:member and project_id:%(project_id)s)',
        'Register where the data of a queued image lies.',
        [{'path': '/v2/images/{image_id}/locations', 'method': 'POST'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'fetch_image_location',
        base.ADMIN_OR_SERVICE,
        'Show where the data of an image rests.',
        [{'path': '/v2/images/{image_id}/locations', 'method': 'GET'}],
        scope_types=_SCOPES,
    ),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
