# SPDX-License-Identifier: Apache-2.0
"""The listing of the Images API v1, which is all that is left of it."""

from __future__ import annotations

import re

import pytest

from .conftest import FORMATS, Api, error

LIST = '/v1/images/detail'


def names(api: Api, query: str = '', caller: str | None = None) -> list[str]:
    answer = api.get(f'{LIST}?sort_key=name&sort_dir=asc&{query}', caller=caller)
    assert answer.status_int == 200, answer.text
    return [image['name'] for image in answer.json['images']]


def test_an_image_is_shown_as_v1_did(api: Api) -> None:
    path = api.upload(b'data', name='debian', os_distro='debian', visibility='public', min_ram=3)
    shown = api.get(path).json
    (image,) = api.get(f'{LIST}?sort_key=name&sort_dir=asc&limit=20').json['images']
    for moment in (image.pop('created_at'), image.pop('updated_at')):
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}', moment)
    assert image == {
        'id': shown['id'],
        'uri': f'http://localhost{path}',
        'name': 'debian',
        'status': 'active',
        **FORMATS,
        'size': 4,
        'virtual_size': shown['virtual_size'],
        'checksum': shown['checksum'],
        'is_public': True,
        'protected': False,
        'owner': shown['owner'],
        'min_disk': 0,
        'min_ram': 3,
        'deleted_at': None,
        'deleted': False,
        'properties': {'os_distro': 'debian'},
    }


def test_an_image_without_data_has_no_bytes(api: Api) -> None:
    api.create(name='empty')
    (image,) = api.get(LIST).json['images']
    assert (image['size'], image['checksum'], image['is_public']) == (0, None, False)


def test_filters_and_pages(api: Api) -> None:
    api.create(name='a', colour='red', min_ram=1, visibility='public')
    api.create(name='b', colour='red', size_min='x', protected=True)
    api.upload(b'12345', name='in:a,b')
    assert names(api) == ['a', 'b', 'in:a,b']
    assert names(api, 'name=in:a,b') == ['in:a,b']
    assert names(api, 'property-colour=red') == ['a', 'b']
    assert names(api, 'property-size_min=x') == ['b']
    assert names(api, 'min_ram=1') == names(api, 'is_public=True') == ['a']
    assert names(api, 'is_public=False') == ['b', 'in:a,b']
    assert names(api, 'is_public=None') == ['a', 'b', 'in:a,b']
    assert names(api, 'protected=true') == ['b']
    assert names(api, 'size_min=5&size_max=5&disk_format=raw') == ['in:a,b']
    assert names(api, 'status=queued&limit=1') == ['a']
    (first,) = api.get(f'{LIST}?name=a').json['images']
    assert names(api, f'marker={first["id"]}&limit=1') == ['b']


def test_others_see_what_they_see_in_v2(api: Api) -> None:
    for visibility in ('public', 'community', 'shared', 'private'):
        api.create(name=visibility, visibility=visibility)
    assert names(api, caller='p2:member,reader') == ['public']
    assert names(api, 'is_public=none', caller='p2:member,reader') == ['community', 'public']


@pytest.mark.parametrize(
    ('query', 'told'),
    [
        ('visibility=public', 'visibility is none of v1'),
        ('colour=red', 'colour is none of v1'),
        ('is_public=maybe', 'is_public must be true, false or none'),
        ('limit=-1', 'limit must not be negative'),
        ('sort_key=owner', 'sort_key must be one of'),
        ('property-a=%00', 'A query parameter has a character that is not text'),
    ],
)
def test_bad_parameters_are_named(api: Api, query: str, told: str) -> None:
    answer = api.get(f'{LIST}?{query}')
    assert error(answer) == (400, 'invalid_request') and told in answer.text


def test_nothing_else_of_v1_is_there(api: Api) -> None:
    assert api.get('/v1/images').status_int == 300
    assert api.call('POST', LIST, {}).status_int == 405
    assert not any(each['id'].startswith('v1') for each in api.get('/').json['versions'])
