# SPDX-License-Identifier: Apache-2.0
"""Rules of image records. Staging and importing change an image, so they ask modify_image."""

from __future__ import annotations

from oslo_policy import policy

from glance_lite.policies import base

_SCOPES = ['project']

_RULES: list[policy.RuleDefault] = [
    policy.DocumentedRuleDefault(
        'add_image',
        'rule:context_is_admin or (role:member and project_id:%(project_id)s and '
        'project_id:%(owner)s)',
        'Create an image.',
        [{'path': '/v2/images', 'method': 'POST'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'get_image',
        base.seen_by('reader'),
        'Show an image, and each image of a list.',
        [
            {'path': '/v2/images/{image_id}', 'method': 'GET'},
            {'path': '/v2/images/{image_id}/tasks', 'method': 'GET'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'get_images',
        base.ADMIN_OR_PROJECT_READER,
        'List images.',
        [
            {'path': '/v2/images', 'method': 'GET'},
            {'path': '/v1/images/detail', 'method': 'GET'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'modify_image',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Change an image, tag it, stage data for it, import it, cancel an import.',
        [
            {'path': '/v2/images/{image_id}', 'method': 'PATCH'},
            {'path': '/v2/images/{image_id}/tags/{value}', 'method': 'PUT'},
            {'path': '/v2/images/{image_id}/tags/{value}', 'method': 'DELETE'},
            {'path': '/v2/images/{image_id}/stage', 'method': 'PUT'},
            {'path': '/v2/images/{image_id}/import', 'method': 'POST'},
            {'path': '/v2/images/{image_id}/actions/cancel_import', 'method': 'POST'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'copy_image',
        base.ADMIN,
        'Copy an active image to more stores: the import method copy-image.',
        [{'path': '/v2/images/{image_id}/import', 'method': 'POST'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'delete_image',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Delete an image and its data.',
        [{'path': '/v2/images/{image_id}', 'method': 'DELETE'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'publicize_image',
        base.ADMIN,
        'Make an image public.',
        [
            {'path': '/v2/images', 'method': 'POST'},
            {'path': '/v2/images/{image_id}', 'method': 'PATCH'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'communitize_image',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Make an image a community image.',
        [
            {'path': '/v2/images', 'method': 'POST'},
            {'path': '/v2/images/{image_id}', 'method': 'PATCH'},
        ],
        scope_types=_SCOPES,
    ),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
