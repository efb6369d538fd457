# SPDX-License-Identifier: Apache-2.0
"""Rules of the calls that describe the service."""

from __future__ import annotations

from oslo_policy import policy

from glance_lite.policies import base

_RULES: list[policy.RuleDefault] = [
    policy.DocumentedRuleDefault(
        'stores_info_detail',
        base.ADMIN_OR_SERVICE,
        'Show the properties of the stores.',
        [{'path': '/v2/info/stores/detail', 'method': 'GET'}],
        scope_types=['project'],
    ),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
