# SPDX-License-Identifier: Apache-2.0
"""The body of an import, read into what it asks for."""

from __future__ import annotations

import hashlib

import pytest

from glance_lite import exceptions
from glance_lite.domain.import_request import (
    HASH_DIGITS,
    ImportRequest,
    Validation,
    choose_stores,
    parse,
)

METHODS = ('glance-direct', 'web-download')


def test_the_smallest_body() -> None:
    wanted = parse({'method': {'name': 'glance-direct'}}, METHODS)
    assert wanted == ImportRequest('glance-direct')
    assert wanted.all_stores_must_succeed and not wanted.all_stores


def test_everything_at_once() -> None:
    digest = hashlib.sha256(b'x').hexdigest()
    wanted = parse(
        {
            'method': {
                'name': 'web-download',
                'uri': 'http://x/y',
                'validation_data': {'os_hash_algo': 'sha256', 'os_hash_value': digest.upper()},
            },
            'stores': ['a', 'b'],
            'all_stores_must_succeed': False,
            'something_else': 1,
        },
        METHODS,
    )
    assert wanted == ImportRequest(
        'web-download', 'http://x/y', ('a', 'b'), False, False, Validation('sha256', digest)
    )


def test_a_uri_belongs_to_a_download_alone() -> None:
    body = {'method': {'name': 'glance-direct', 'uri': 5}}
    assert parse(body, METHODS).uri is None


def test_a_method_that_is_switched_off_is_not_known() -> None:
    with pytest.raises(exceptions.InvalidRequest, match='those offered here: glance-direct'):
        parse({'method': {'name': 'web-download'}}, ['glance-direct'])


def test_every_hash_of_a_fixed_length_is_known() -> None:
    assert {'md5', 'sha1', 'sha256', 'sha512', 'sha3_256', 'blake2b'} <= set(HASH_DIGITS)
    assert 'shake_128' not in HASH_DIGITS
    for name, digits in HASH_DIGITS.items():
        assert len(hashlib.new(name, usedforsecurity=False).hexdigest()) == digits


@pytest.mark.parametrize(
    ('wanted', 'header', 'expected'),
    [
        (ImportRequest('m'), None, ('a',)),
        (ImportRequest('m'), 'b', ('b',)),
        (ImportRequest('m', stores=('b', 'a', 'b')), None, ('b', 'a')),
        (ImportRequest('m', all_stores=True), None, ('a', 'b')),
        (ImportRequest('m', all_stores=True), 'a', exceptions.InvalidRequest),
        (ImportRequest('m', stores=('a',)), 'a', ('a',)),
        (ImportRequest('m', stores=('a',)), 'b', exceptions.InvalidRequest),
        (ImportRequest('m', stores=('a', 'b')), 'a', exceptions.InvalidRequest),
        (ImportRequest('m', stores=('a',), all_stores=True), None, exceptions.InvalidRequest),
        (ImportRequest('m', stores=('a', 'c')), None, exceptions.Conflict),
        (ImportRequest('m'), 'c', exceptions.Conflict),
    ],
)
def test_stores(wanted: ImportRequest, header: str | None, expected: object) -> None:
    if isinstance(expected, tuple):
        assert choose_stores(wanted, header, ['a', 'b'], 'a') == expected
    else:
        with pytest.raises(expected):  # type: ignore[call-overload]
            choose_stores(wanted, header, ['a', 'b'], 'a')
