# SPDX-License-Identifier: Apache-2.0
"""The operator's schema of custom properties: what the file may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glance_lite import exceptions
from glance_lite.image_properties import SAMPLE, ImageProperties, parse

ROOT = Path(__file__).resolve().parents[2]
BAD = [
    ([], 'object'),
    ('x', 'object'),
    ({'properties': []}, "'properties' must be an object"),
    ({'properties': {'a': {}}, 'required': 'a'}, "'required' must be a list"),
    ({'properties': {'a': {}}, 'required': ['b']}, "'required' must be a list"),
    ({'properties': {'a': {}}, 'required': [[]]}, "'required' must be a list"),
    ({'a': []}, "schema of 'a' must be an object"),
    ({'a': {'type': 'integer'}}, "type of 'a' must be string"),
    ({'a': {'type': ['string', 'boolean']}}, "type of 'a' must be string"),
    ({'a': {'type': 5}}, "type of 'a' must be string"),
    ({'a': {'pattern': '('}}, "schema of 'a' is none"),
    ({'a': {'maxLength': 'x'}}, "schema of 'a' is none"),
    ({'status': {}}, "'status' is an attribute of the service's own"),
    ({'os_glance_x': {}}, "'os_glance_x' is"),
    ({'location': {}}, "'location' is"),
    ({'': {}}, 'has 1 to 255'),
]


@pytest.mark.parametrize(('content', 'rule'), BAD)
def test_a_file_that_is_wrong(content: Any, rule: str) -> None:
    with pytest.raises(exceptions.ConfigError) as raised:
        parse(content)
    assert rule in str(raised.value) and 'schema-image.json' in str(raised.value)


def test_both_forms() -> None:
    plain = {'a': {'type': 'string'}, 'b': {'enum': ['x']}}
    assert (parse(plain).schemas, parse(plain).required) == (plain, frozenset())
    found = parse({'properties': plain, 'required': ['b']})
    assert (found.schemas, found.required) == (plain, frozenset({'b'}))
    assert parse({}).schemas == {}


def test_no_file_describes_nothing(make_conf: Callable[..., Any]) -> None:
    assert ImageProperties.from_conf(make_conf()).schemas == {}


def test_a_file_that_is_no_json_stops_the_start(
    make_conf: Callable[..., Any], tmp_path: Path
) -> None:
    conf = make_conf()
    for content in (b'{', b'\xff', b'[' * 100_000):
        (tmp_path / 'schema-image.json').write_bytes(content)
        with pytest.raises(exceptions.ConfigError, match='not JSON'):
            ImageProperties.from_conf(conf)


def test_the_sample_is_made_of_the_code_and_can_be_used() -> None:
    """When this fails: ``tox -e genconfig``."""
    content = json.loads((ROOT / 'etc/schema-image.json.sample').read_text())
    assert content == SAMPLE and parse(content).schemas == SAMPLE
