# SPDX-License-Identifier: Apache-2.0
"""Single tags: limits, who may, and that nothing else of the image changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from glance_lite.db import models

from .conftest import Api, error

MEMBER = 'p2:member,reader'


def test_a_tag_is_put_and_removed(api: Api) -> None:
    path = api.create(tags=['b'], name='n', os_distro='x')
    for _ in range(2):
        answer = api.call('PUT', path + '/tags/a')
        assert (answer.status_int, answer.body) == (204, b'')
    shown = api.get(path).json
    assert (shown['tags'], shown['name'], shown['os_distro']) == (['a', 'b'], 'n', 'x')
    assert api.call('DELETE', path + '/tags/b').status_int == 204
    assert error(api.call('DELETE', path + '/tags/b')) == (404, 'tag_not_found')
    assert api.get(path).json['tags'] == ['a']


def test_the_change_of_a_tag_is_one_of_the_image(api: Api) -> None:
    path = api.create(tags=['a'])
    image_id = path.rpartition('/')[2]

    def changed_at() -> object:
        with api.services.db.reader() as session:
            return (
                session.execute(models.images.select().where(models.images.c.id == image_id))
                .one()
                .updated_at
            )

    times = [changed_at()]
    for method, value in (('PUT', 'b'), ('DELETE', 'a')):
        assert api.call(method, f'{path}/tags/{value}').status_int == 204
        times.append(changed_at())
    assert times == sorted(set(times))
    api.call('PUT', path + '/tags/b')
    api.call('DELETE', path + '/tags/a')
    assert changed_at() == times[-1]


@pytest.mark.parametrize(
    ('value', 'shown'), [('%C3%A4', 'ä'), ('a%20b', 'a b'), ('a%25', 'a%'), ('x' * 255, 'x' * 255)]
)
def test_a_tag_is_any_text_within_the_limit(api: Api, value: str, shown: str) -> None:
    path = api.create()
    assert api.call('PUT', f'{path}/tags/{value}').status_int == 204
    assert api.get(path).json['tags'] == [shown]
    assert api.call('DELETE', f'{path}/tags/{value}').status_int == 204


@pytest.mark.parametrize('value', ['x' * 256, '%F0%9F%98%80', 'a%00'])
@pytest.mark.parametrize('method', ['PUT', 'DELETE'])
def test_a_tag_that_cannot_be_is_refused(api: Api, method: str, value: str) -> None:
    path = api.create()
    assert error(api.call(method, f'{path}/tags/{value}')) == (400, 'invalid_request')
    assert api.get(path).json['tags'] == []


def test_a_body_is_refused(api: Api) -> None:
    path = api.create(tags=['a'])
    assert error(api.call('PUT', path + '/tags/b', {})) == (400, 'invalid_request')
    assert error(api.call('DELETE', path + '/tags/a', {})) == (400, 'invalid_request')
    assert api.get(path).json['tags'] == ['a']


def test_an_image_has_no_more_tags_than_its_quota(make_api: Callable[..., Api]) -> None:
    api = make_api('[DEFAULT]\nimage_tag_quota = 2\n')
    path = api.create(tags=['a', 'b'])
    assert error(api.call('PUT', path + '/tags/c')) == (413, 'limit_exceeded')
    assert api.call('PUT', path + '/tags/b').status_int == 204
    assert api.call('DELETE', path + '/tags/a').status_int == 204
    assert api.call('PUT', path + '/tags/c').status_int == 204
    assert api.get(path).json['tags'] == ['b', 'c']


@pytest.mark.parametrize(
    ('caller', 'visibility', 'expected'),
    [
        ('p2:reader', 'private', (403, 'forbidden')),
        ('p3:member,reader', 'private', (404, 'image_not_found')),
        ('p3:member,reader', 'community', (403, 'forbidden')),
    ],
)
@pytest.mark.parametrize('method', ['PUT', 'DELETE'])
def test_who_may_not_change_an_image_may_not_tag_it(
    api: Api, method: str, caller: str, visibility: str, expected: tuple[int, str]
) -> None:
    path = api.create(caller=MEMBER, tags=['a'], visibility=visibility)
    assert error(api.call(method, path + '/tags/a', caller=caller)) == expected
    assert error(api.call(method, path + '/tags/b', caller=caller)) == expected
    assert api.get(path).json['tags'] == ['a']


@pytest.mark.parametrize('method', ['PUT', 'DELETE'])
def test_an_image_that_is_not_there_has_no_tags(api: Api, method: str) -> None:
    path = api.create()
    api.call('DELETE', path)
    for gone in (path, '/v2/images/x'):
        assert error(api.call(method, gone + '/tags/a')) == (404, 'image_not_found')
