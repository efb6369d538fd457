# SPDX-License-Identifier: Apache-2.0
"""What text a record can hold."""

from __future__ import annotations

import pytest

from glance_lite import exceptions
from glance_lite.domain import text


def test_ordinary_text_passes() -> None:
    text.require_plain('a ä 中 \uffff \n', 'x')
    text.require_plain_values({'a': 'b', 'tags': ['c'], 'n': 5, 'z': None, 'o': {'\0': 1}})


@pytest.mark.parametrize('value', ['\0', '\ud800', '\udfff', '\U0001f600'])
def test_what_a_column_cannot_hold_is_refused(value: str) -> None:
    for data in ({'a': value}, {value: 'a'}, {'tags': ['x', value]}):
        with pytest.raises(exceptions.InvalidRequest):
            text.require_plain_values(data)


def test_ids() -> None:
    assert text.is_uuid('11111111-2222-4333-8444-55555555aBcD')
    for value in ('', 'x', '1' * 36, '11111111-2222-4333-8444-555555555555\n'):
        assert not text.is_uuid(value)
