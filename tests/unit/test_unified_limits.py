# SPDX-License-Identifier: Apache-2.0
"""Whether the options suffice to ask Keystone for limits, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from glance_lite import exceptions
from glance_lite.domain.quota import Limit, Limits
from glance_lite.unified_limits import UnifiedLimits

ON = '[DEFAULT]\nuse_keystone_limits = true\n[oslo_limit]\n'
SIGN_IN = 'auth_type = password\nauth_url = http://127.0.0.1:9\nusername = x\npassword = y\n'


def test_keystone_is_asked_for_what_is_needed() -> None:
    asked: list[Any] = []

    def fetch(project: str, names: list[str]) -> dict[str, int]:
        asked.append((project, names))
        return {'image_size_total': 3, 'image_count_total': 0, 'image_stage_total': -1}

    found = UnifiedLimits(fetch).of('p1', ['staged', 'stored', 'images'])
    assert asked == [('p1', ['image_count_total', 'image_size_total', 'image_stage_total'])]
    assert found == Limits(
        stored=Limit('image_size_total', 3 << 20), images=Limit('image_count_total', 0)
    )
    assert Limits.from_record(found.to_record()) == found


def test_they_are_off_by_default(conf: Any) -> None:
    assert UnifiedLimits.from_conf(conf) is None


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        ('', 'auth_type'),
        (SIGN_IN, 'endpoint_id'),
        ('auth_type = nonsense\nendpoint_id = x\n', 'nonsense'),
        ('auth_type = password\nendpoint_id = x\n', 'auth_url'),
    ],
)
def test_options_with_which_nobody_could_be_asked(make_conf: Any, options: str, word: str) -> None:
    with pytest.raises(exceptions.ConfigError, match=rf'oslo_limit.*{word}'):
        UnifiedLimits.from_conf(make_conf(ON + options))


@pytest.mark.parametrize('service', ['endpoint_id = x\n', 'endpoint_service_type = image\n'])
def test_nobody_is_asked_at_the_start(make_conf: Any, service: str) -> None:
    assert UnifiedLimits.from_conf(make_conf(ON + SIGN_IN + service)) is not None
