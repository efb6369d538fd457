# SPDX-License-Identifier: Apache-2.0
"""Pages of images: who sees what, in which order, and what a filter takes."""

from __future__ import annotations

import urllib.parse

import pytest

from .conftest import Api, error


def names(api: Api, query: str = '', caller: str | None = None) -> list[str | None]:
    answer = api.get('/v2/images?' + query, caller=caller)
    assert answer.status_int == 200, answer.body
    return [image['name'] for image in answer.json['images']]


def test_following_next_shows_each_image_once(api: Api) -> None:
    for number in range(7):
        api.create(name=None if number % 3 else f'n{number}', min_disk=number)
    for query in (
        'limit=2',
        'limit=3&sort=name:asc,size:desc',
        'limit=1&sort_key=disk_format',
        'limit=2&sort_key=name&sort_dir=desc',
    ):
        path, seen = '/v2/images?' + query, []
        while path:
            page = api.get(path).json
            seen += [image['min_disk'] for image in page['images']]
            assert page['first'] == '/v2/images?' + query.replace(':', '%3A').replace(',', '%2C')
            path = page.get('next')
        assert sorted(seen) == list(range(7)), query


def test_the_default_order_is_the_newest_first(api: Api) -> None:
    for name in 'abc':
        api.create(name=name)
    assert names(api) == ['c', 'b', 'a']
    assert names(api, 'sort=name') == ['c', 'b', 'a']
    assert names(api, 'sort=name:asc') == ['a', 'b', 'c']
    assert names(api, 'limit=0') == []


def test_who_sees_what(api: Api) -> None:
    for visibility in ('public', 'community', 'shared', 'private'):
        api.create(name=visibility, visibility=visibility)
    mine = 'p2:member,reader'
    api.create(name='mine', caller=mine)
    api.create(name='hidden', os_hidden=True, caller=mine)
    assert names(api, 'sort=name:asc', mine) == ['mine', 'public']
    assert names(api, 'sort=name:asc&visibility=all', mine) == ['community', 'mine', 'public']
    assert names(api, 'visibility=community', mine) == ['community']
    assert names(api, 'visibility=private', mine) == []
    assert names(api, 'visibility=shared', mine) == ['mine']
    assert names(api, 'os_hidden=true', mine) == ['hidden']
    assert len(names(api, 'os_hidden=false')) == 5


@pytest.mark.parametrize(
    ('query', 'expected'),
    [
        ('name=b', ['b']),
        ('name=in:a,c', ['a', 'c']),
        ('name=in:"x,y",a', ['a', 'x,y']),
        (r'name=in:"q\""', ['q"']),
        ('name=nothing', []),
        ('tag=t1', ['a', 'b']),
        ('tag=t1&tag=t2', ['b']),
        ('os_distro=x', ['a']),
        ('os_distro=y', []),
        ('min_ram=7', ['c']),
        ('min_ram_min=5', ['b', 'c']),
        ('min_ram_max=5', ['a', 'b', 'q"', 'x,y']),
        ('protected=true', []),
        ('status=queued&owner=p1&name=a', ['a']),
        ('status=active', []),
        ('created_at=gt:2020-01-01T00:00:00Z&name=a', ['a']),
        ('created_at=lt:2020-01-01T00:00:00Z', []),
        ('disk_format=raw', ['a']),
        ('unknown=1', []),
        ('visibility=private', ['c']),
    ],
)
def test_filters(api: Api, query: str, expected: list[str]) -> None:
    api.create(name='a', tags=['t1'], os_distro='x', disk_format='raw')
    api.create(name='b', tags=['t1', 't2'], min_ram=5)
    api.create(name='c', min_ram=7, visibility='private')
    api.create(name='x,y')
    api.create(name='q"')
    quoted = urllib.parse.quote(query, safe='=&')
    assert names(api, quoted + '&sort=name:asc') == expected


BAD_QUERIES = [
    'limit=x',
    'limit=-1',
    'limit=',
    'limit=1.5',
    'marker=zzz',
    'marker=00000000-0000-4000-8000-000000000000',
    'sort_key=zzz',
    'sort_key=owner',
    'sort_dir=zzz',
    'sort=name:zzz',
    'sort=',
    'sort=name&sort_key=name',
    'sort=name&sort_dir=asc',
    'sort_key=name&sort_key=id&sort_dir=asc&sort_dir=asc&sort_dir=asc',
    'visibility=zzz',
    'member_status=zzz',
    'size_min=x',
    'size_max=1e3',
    'size=99999999999999999999',
    'created_at=zzz:2020',
    'created_at=gt:zzz',
    'created_at=',
    'created_at=gt:0001-01-01T00:00:00%2B23:59',
    'name=in:%22n1',
    'name=in:n%221',
    'name=in:%22a%22b',
    'name=gt:a',
    'protected=zzz',
    'os_hidden=zzz',
    'changes-since=2020-01-01',
    'name=%00',
    'name=%F0%9F%98%80',
    'name=%FF',
    '%FF=1',
    'a%00=b',
    'tag=%00',
]


def test_a_query_that_cannot_be_answered_says_why(api: Api) -> None:
    for query in BAD_QUERIES:
        answer = api.get('/v2/images?' + query)
        assert error(answer) == (400, 'invalid_request'), query
        assert len(answer.json['error']['message']) > 20, query


def test_a_marker_that_the_caller_cannot_see_is_none(api: Api) -> None:
    hidden = api.create().rpartition('/')[2]
    answer = api.get(f'/v2/images?marker={hidden}', caller='p2:member,reader')
    assert error(answer) == (400, 'invalid_request')


def test_an_extreme_limit_is_cut(api: Api) -> None:
    api.create(name='a')
    assert names(api, 'limit=999999999999999999999999') == ['a']
