# SPDX-License-Identifier: Apache-2.0
"""The policy rules, one module a resource. Declarations only; ``policy.py`` evaluates them."""

from __future__ import annotations

import itertools

from oslo_policy import policy

from glance_lite.policies import (
    base,
    discovery,
    image_actions,
    image_data,
    images,
    locations,
    members,
    tasks,
)


def list_rules() -> list[policy.RuleDefault]:
    """Return every rule with its default, for the enforcer and for the sample file."""
    return list(
        itertools.chain(
            base.list_rules(),
            images.list_rules(),
            image_data.list_rules(),
            image_actions.list_rules(),
            locations.list_rules(),
            members.list_rules(),
            tasks.list_rules(),
            discovery.list_rules(),
        )
    )
