# SPDX-License-Identifier: Apache-2.0
"""Each way in which a task can fail leaves nothing but a message, which the documentation shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import task_failures
from tests.task_failures import WAYS, Way

CLEAN = {'jobs': 0, 'flows': 0, 'fast': [], 'cold': [], 'staging': []}
BUG = 'internal_error'


@pytest.fixture(scope='module')
def page() -> str:
    return task_failures.PAGE.read_text()


@pytest.mark.parametrize('way', WAYS, ids=[way.what.replace(' ', '-') for way in WAYS])
def test_a_task_that_fails_says_why(way: Way, page: str, tmp_path: Path) -> None:
    with task_failures.tried(way, tmp_path) as (world, found):
        assert found.status == 'failure', found
        assert found.error is not None and found.error['code'] == way.code, found.error
        assert found.error['message'] == found.message and found.error['request_id'] == 'req-1'
        assert found.input['import_from'] in found.message and found.result is None
        assert 'internal' not in found.message.lower().replace('500 internal server error', '')
        assert (found.request_id in found.message) == (way.code == BUG)
        assert not any(word in found.message for word in ('/var', '/usr', '/run', 'Traceback'))
        assert (world.listed(), world.leftovers()) == ([], CLEAN)
    assert task_failures.row(way, found) in page


def test_the_page_has_the_ways_and_no_others(page: str) -> None:
    told = [line.removeprefix('   * - ') for line in page.splitlines() if '   * - ' in line]
    assert told == ['what happens', *(way.what for way in WAYS)]
    assert len(WAYS) >= 25
