# SPDX-License-Identifier: Apache-2.0
"""Run the stories: each YAML file beside this one is one, told in order."""

from __future__ import annotations

import re
import unittest
import warnings
from pathlib import Path

import pytest
from gabbi import driver, exception

from glance_lite.api import routes
from tests.api import fixtures

HERE = Path(__file__).resolve().parent
STORIES = sorted(path.stem for path in HERE.glob('*.yaml'))
told: list[str] = []


@pytest.fixture(scope='module')
def suites() -> dict[str, unittest.TestSuite]:
    """Return the requests of each story."""
    with warnings.catch_warnings():
        # of the underscore in file names, which only its own way to group tests cannot bear
        warnings.simplefilter('ignore', exception.GabbiSyntaxWarning)
        built = driver.build_tests(
            str(HERE),
            unittest.TestLoader(),
            intercept=fixtures.application,
            fixture_module=fixtures,
            test_loader_name='stories',
        )
    return {next(iter(suite)).test_base_name: suite for suite in built}


@pytest.mark.parametrize('story', STORIES)
def test_story(story: str, suites: dict[str, unittest.TestSuite]) -> None:
    """Run the requests of one story, one after another."""
    result = unittest.TestResult()
    suites[story].run(result)
    told.append(story)
    troubles = [f'{test}: {text}' for test, text in [*result.failures, *result.errors]]
    assert not troubles, '\n'.join(troubles)
    assert result.testsRun > 0 and not result.skipped


def test_every_route_is_in_a_story() -> None:
    """Compare what the stories asked with the table of routes."""
    if told != STORIES:
        pytest.skip('needs all stories')
    for template, handlers in routes.table(True).items():
        pattern = re.compile(re.sub(r'{\w+}', '[^/]+', template))
        for method in handlers:
            assert any(
                method == asked and pattern.fullmatch(path) for asked, path in fixtures.told
            ), f'{method} {template}'
