# SPDX-License-Identifier: Apache-2.0
"""The two patch languages."""

from __future__ import annotations

from typing import Any

import pytest

from glance_lite import exceptions
from glance_lite.domain.json_patch import END, TYPE_2_0, TYPE_2_1, Change, parse


def test_both_languages_say_the_same() -> None:
    newer = [
        {'op': 'add', 'path': '/a', 'value': 1},
        {'op': 'replace', 'path': '/b~1~0', 'value': None},
        {'op': 'remove', 'path': '/c'},
    ]
    older = [{'add': '/a', 'value': 1}, {'replace': '/b~1~0', 'value': None}, {'remove': '/c'}]
    assert parse(newer, TYPE_2_1) == [
        Change('add', 'a', 1),
        Change('replace', 'b/~', None),
        Change('remove', 'c'),
    ]
    assert parse(older, TYPE_2_0) == [
        Change('add', 'a', 1, True),
        Change('replace', 'b/~', None, True),
        Change('remove', 'c', None, True),
    ]


def test_an_escape_is_undone_once() -> None:
    [change] = parse([{'op': 'remove', 'path': '/a~01'}], TYPE_2_1)
    assert change.name == 'a~1'


@pytest.mark.parametrize(
    ('item', 'rule'),
    [
        ('x', 'must be an object'),
        ({'op': 'move', 'path': '/a'}, "'op' must be one of"),
        ({'op': ['add'], 'path': '/a'}, "'op' must be one of"),
        ({'op': 'add', 'value': 1}, "needs the member 'path'"),
        ({'op': 'add', 'path': '/a'}, "needs the member 'value'"),
        ({'op': 'remove', 'path': 'a'}, 'begins with "/"'),
        ({'op': 'remove', 'path': None}, 'begins with "/"'),
        ({'op': 'remove', 'path': '/'}, 'an empty part'),
        ({'op': 'remove', 'path': '//a'}, 'an empty part'),
        ({'op': 'remove', 'path': '/a/b'}, 'must name one attribute'),
        ({'op': 'remove', 'path': '/a~'}, '"~" without 0 or 1'),
    ],
)
def test_an_operation_that_is_wrong_is_counted_and_explained(item: Any, rule: str) -> None:
    with pytest.raises(exceptions.InvalidRequest) as raised:
        parse([{'op': 'remove', 'path': '/a'}, item], TYPE_2_1)
    assert 'Operation 2' in str(raised.value) and rule in str(raised.value)


def test_the_older_language_wants_one_verb() -> None:
    for item in ({}, {'add': '/a', 'remove': '/a', 'value': 1}, {'op': 'add', 'path': '/a'}):
        with pytest.raises(exceptions.InvalidRequest, match='exactly one of'):
            parse([item], TYPE_2_0)


@pytest.mark.parametrize(
    ('op', 'path', 'index'),
    [
        ('add', '/locations/-', END),
        ('add', '/locations/0', 0),
        ('remove', '/locations/12', 12),
        ('replace', '/locations', None),
        ('add', '/locations', None),
        ('remove', '/locations', None),
    ],
)
def test_a_pointer_to_a_location(op: str, path: str, index: int | None) -> None:
    [change] = parse([{'op': op, 'path': path, 'value': {}}], TYPE_2_1)
    assert (change.op, change.name, change.index) == (op, 'locations', index)
