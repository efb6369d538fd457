# SPDX-License-Identifier: Apache-2.0
"""Rules of image data."""

from __future__ import annotations

from oslo_policy import policy

from glance_lite.policies import base

_RULES: list[policy.RuleDefault] = [
    policy.DocumentedRuleDefault(
        'upload_image',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Upload the data of an image. Restrict it to make users import instead.',
        [{'path': '/v2/images/{image_id}/file', 'method': 'PUT'}],
        scope_types=['project'],
    ),
    policy.DocumentedRuleDefault(
        'download_image',
        base.seen_by('member'),
        'Download the data of an image.',
        [{'path': '/v2/images/{image_id}/file', 'method': 'GET'}],
        scope_types=['project'],
    ),
    policy.DocumentedRuleDefault(
        'download_from_store',
        base.seen_by('member'),
        'Choose with the query parameter prefer from which stores data is downloaded.',
        [{'path': '/v2/images/{image_id}/file', 'method': 'GET'}],
        scope_types=['project'],
    ),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
