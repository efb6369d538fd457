# SPDX-License-Identifier: Apache-2.0
"""The parameters of a listing."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance_lite import exceptions
from glance_lite.domain.image_query import Filter, parse

HIDDEN = Filter('os_hidden', None, 'eq', False)


def read(*params: tuple[str, str]):
    return parse(params, 25, 1000)


def test_nothing_asked() -> None:
    query = read()
    assert (query.limit, query.marker, query.visibility) == (25, None, None)
    assert query.filters == (HIDDEN,)
    assert query.sort == (('created_at', True), ('id', True))


@pytest.mark.parametrize(
    ('params', 'expected'),
    [
        ([('sort', 'name')], [('name', True), ('created_at', True), ('id', True)]),
        ([('sort', 'name:asc,id:desc')], [('name', False), ('id', True), ('created_at', True)]),
        (
            [('sort_key', 'size'), ('sort_dir', 'asc')],
            [('size', False), ('created_at', False), ('id', False)],
        ),
        (
            [('sort_key', 'size'), ('sort_key', 'name'), ('sort_dir', 'asc')],
            [('size', False), ('name', False), ('created_at', False), ('id', False)],
        ),
        ([('sort_key', 'id'), ('sort_key', 'id')], [('id', True), ('created_at', True)]),
    ],
)
def test_order(params: list[tuple[str, str]], expected: list[tuple[str, bool]]) -> None:
    assert list(read(*params).sort) == expected


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('name', 'CentOS:7', Filter('name', None, 'eq', 'CentOS:7')),
        ('name', 'eq:x', Filter('name', None, 'eq', 'x')),
        ('name', 'in:a,"b,c","d\\"e",', Filter('name', None, 'in', ['a', 'b,c', 'd"e', ''])),
        ('id', 'in:x', Filter('id', None, 'in', ['x'])),
        ('foo', 'in:x', Filter(None, 'foo', 'eq', 'in:x')),
        ('size_min', '5', Filter('size', None, 'gte', 5)),
        ('min_ram_max', '5', Filter('min_ram', None, 'lte', 5)),
        ('foo_min', '5', Filter(None, 'foo_min', 'eq', '5')),
        ('protected', 'TRUE', Filter('protected', None, 'eq', True)),
        (
            'created_at',
            '2020-01-02T03:04:05Z',
            Filter('created_at', None, 'eq', datetime.datetime(2020, 1, 2, 3, 4, 5)),
        ),
        (
            'updated_at',
            'gte:2020-01-02T03:04:05+01:00',
            Filter('updated_at', None, 'gte', datetime.datetime(2020, 1, 2, 2, 4, 5)),
        ),
    ],
)
def test_filters(name: str, value: str, expected: Filter) -> None:
    assert read((name, value)).filters == (expected, HIDDEN)


def test_hidden_ones_are_shown_on_request() -> None:
    assert read(('os_hidden', 'true')).filters == (Filter('os_hidden', None, 'eq', True),)


@given(st.text(), st.text())
def test_any_parameter_is_read_or_refused(name: str, value: str) -> None:
    for params in (
        [(name, value)],
        [('name', 'in:' + value)],
        [('created_at', value)],
        [('limit', value)],
        [('sort', value)],
    ):
        try:
            read(*params)
        except exceptions.InvalidRequest as error:
            assert 20 < len(str(error)) < 500
