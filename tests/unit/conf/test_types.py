# SPDX-License-Identifier: Apache-2.0
"""Lists and maps are read in both spellings, sizes with their units."""

import pytest
from oslo_config import types as cfg_types

from glance_lite.conf import types


@pytest.mark.parametrize('text', ['a, b', 'a,b', '[a, b]', '[a,b,]', "['a', 'b']", ' [ "a" ,b ] '])
def test_a_list_may_have_brackets(text):
    assert types.LooseList()(text) == ['a', 'b']


@pytest.mark.parametrize('text', ['', '[]', '[ ]', ' '])
def test_an_empty_list(text):
    assert types.LooseList()(text) == []


@pytest.mark.parametrize('text', ['[a, b', 'a, b]'])
def test_half_a_pair_of_brackets_is_an_error(text):
    with pytest.raises(ValueError, match='only one of its two brackets'):
        types.LooseList()(text)


def test_items_are_checked():
    with pytest.raises(ValueError):
        types.LooseList(cfg_types.Integer(1, 65535))('[80, x]')


@pytest.mark.parametrize('text', ['a:file, b:s3', '{a:file,b:s3}', ' { a:file , b:s3 } '])
def test_a_map_may_have_braces(text):
    assert types.LooseDict(value_type=cfg_types.String())(text) == {'a': 'file', 'b': 's3'}


def test_half_a_pair_of_braces_is_an_error():
    with pytest.raises(ValueError, match='only one of its two braces'):
        types.LooseDict()('{a:b')


@pytest.mark.parametrize(
    ('text', 'size'),
    [
        ('0', 0),
        ('7', 7),
        ('7B', 7),
        ('3KB', 3 << 10),
        (' 5 mb ', 5 << 20),
        ('10GB', 10 << 30),
        ('2TB', 2 << 40),
        (1024, 1024),
    ],
)
def test_a_size_may_have_a_unit(text, size):
    assert types.StorageSize()(text) == size


@pytest.mark.parametrize('text', ['', 'GB', '-1', '1.5GB', '1 PB', '1G', '٣KB', '9000000TB'])
def test_a_size_is_a_whole_number_of_bytes(text):
    with pytest.raises(ValueError):
        types.StorageSize()(text)
