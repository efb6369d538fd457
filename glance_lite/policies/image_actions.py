# SPDX-License-Identifier: Apache-2.0
"""Rules of taking an image out of service and putting it back."""

from __future__ import annotations

from oslo_policy import policy

from glance_lite.policies import base

_RULES: list[policy.RuleDefault] = [
    policy.DocumentedRuleDefault(
        'deactivate',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Deactivate an image: only administrators can download it then.',
        [{'path': '/v2/images/{image_id}/actions/deactivate', 'method': 'POST'}],
        scope_types=['project'],
    ),
    policy.DocumentedRuleDefault(
        'reactivate',
        base.ADMIN_OR_PROJECT_MEMBER,
        'Make a deactivated image active again.',
        [{'path': '/v2/images/{image_id}/actions/reactivate', 'method': 'POST'}],
        scope_types=['project'],
    ),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
