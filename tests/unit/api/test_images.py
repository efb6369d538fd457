# SPDX-License-Identifier: Apache-2.0
"""Image records: what is shown, who may change what, and what a refusal leaves."""

from __future__ import annotations

import datetime
import os
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from glance_lite import removing
from glance_lite.db import images, removals, uploads
from glance_lite.testing.stores import put

from .conftest import FORMATS, Api, error

MEMBER = 'p2:member,reader'
READER = 'p2:reader'


def test_a_new_image_has_every_attribute(api: Api) -> None:
    answer = api.call(
        'POST',
        '/v2/images',
        {
            'name': 'n',
            'tags': ['b', 'a', 'a'],
            'min_disk': 1,
            'min_ram': 64,
            'os_distro': 'x',
            'visibility': 'private',
            **FORMATS,
        },
    )
    assert answer.status_int == 201
    image = answer.json
    path = '/v2/images/' + image['id']
    assert answer.headers['Location'] == 'http://localhost' + path
    methods = answer.headers['OpenStack-image-import-methods']
    assert methods == 'glance-direct,web-download,copy-image'
    assert answer.headers['OpenStack-image-store-ids'] == 'fast,cold'
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', image.pop('created_at'))
    assert image.pop('updated_at').endswith('Z')
    assert str(uuid.UUID(image['id'])) == image.pop('id')
    assert image == {
        'name': 'n',
        'tags': ['a', 'b'],
        'min_disk': 1,
        'min_ram': 64,
        'os_distro': 'x',
        'visibility': 'private',
        'disk_format': 'raw',
        'container_format': 'bare',
        'status': 'queued',
        'size': None,
        'virtual_size': None,
        'checksum': None,
        'os_hash_algo': None,
        'os_hash_value': None,
        'protected': False,
        'os_hidden': False,
        'owner': 'p1',
        'self': path,
        'file': path + '/file',
        'schema': '/v2/schemas/image',
    }
    assert api.get(path).json == answer.json


def test_an_id_is_taken_for_ever(api: Api) -> None:
    image_id = str(uuid.uuid4())
    path = api.create(id=image_id)
    assert error(api.call('POST', '/v2/images', {'id': image_id})) == (409, 'image_exists')
    assert api.call('DELETE', path).status_int == 204
    assert error(api.call('POST', '/v2/images', {'id': image_id})) == (409, 'image_exists')


@pytest.mark.parametrize(
    ('attributes', 'expected'),
    [
        ({'status': 'active'}, (403, 'forbidden')),
        ({'checksum': 'x'}, (403, 'forbidden')),
        ({'self': '/x'}, (403, 'forbidden')),
        ({'stores': 'fast'}, (403, 'forbidden')),
        ({'locations': []}, (403, 'forbidden')),
        ({'deleted': 'x'}, (403, 'forbidden')),
        ({'os_glance_import_task': 'x'}, (403, 'forbidden')),
        ({'id': 'abc'}, (400, 'invalid_request')),
        ({'disk_format': 'zzz'}, (400, 'invalid_request')),
        ({'name': 5}, (400, 'invalid_request')),
        ({'name': 'x' * 256}, (400, 'invalid_request')),
        ({'name': '\U0001f600'}, (400, 'invalid_request')),
        ({'name': 'a\0b'}, (400, 'invalid_request')),
        ({'name': '\ud800'}, (400, 'invalid_request')),
        ({'a\0b': 'x'}, (400, 'invalid_request')),
        ({'': 'v'}, (400, 'invalid_request')),
        ({'p' * 256: 'v'}, (400, 'invalid_request')),
        ({'foo': 5}, (400, 'invalid_request')),
        ({'foo': None}, (400, 'invalid_request')),
        ({'min_disk': -1}, (400, 'invalid_request')),
        ({'min_disk': '1'}, (400, 'invalid_request')),
        ({'min_disk': 1.0}, (400, 'invalid_request')),
        ({'min_disk': True}, (400, 'invalid_request')),
        ({'min_ram': 2**31}, (400, 'invalid_request')),
        ({'visibility': 'zzz'}, (400, 'invalid_request')),
        ({'protected': 'yes'}, (400, 'invalid_request')),
        ({'tags': 'abc'}, (400, 'invalid_request')),
        ({'tags': ['x' * 256]}, (400, 'invalid_request')),
        ({'tags': ['\0']}, (400, 'invalid_request')),
        ({f'k{n}': 'v' for n in range(129)}, (413, 'limit_exceeded')),
        ({'tags': [str(n) for n in range(129)]}, (413, 'limit_exceeded')),
    ],
)
def test_what_cannot_be_created(
    api: Api, attributes: dict[str, object], expected: tuple[int, str]
) -> None:
    assert error(api.call('POST', '/v2/images', attributes)) == expected
    assert api.get('/v2/images').json['images'] == []


def test_a_refusal_names_the_field_and_the_rule(api: Api) -> None:
    answer = api.call('POST', '/v2/images', {'disk_format': 'floppy'})
    assert answer.json['error']['message'].startswith('disk_format must be one of: null, ami,')


@pytest.mark.parametrize(
    ('caller', 'attributes', 'status'),
    [
        (MEMBER, {}, 201),
        (READER, {}, 403),
        (MEMBER, {'owner': 'p1'}, 403),
        (MEMBER, {'owner': None}, 403),
        ('p1:admin', {'owner': 'p9'}, 201),
        (MEMBER, {'visibility': 'public'}, 403),
        (MEMBER, {'visibility': 'community'}, 201),
        ('p1:admin', {'visibility': 'public'}, 201),
        ('p1:ADMIN', {'visibility': 'public'}, 201),
    ],
)
def test_who_may_create_what(
    api: Api, caller: str, attributes: dict[str, object], status: int
) -> None:
    assert api.call('POST', '/v2/images', attributes, caller=caller).status_int == status


def test_what_cannot_be_seen_is_not_there_and_what_is_seen_may_be_forbidden(api: Api) -> None:
    hidden, public = api.create(), api.create(visibility='public', **FORMATS)
    change = [{'op': 'add', 'path': '/a', 'value': 'b'}]
    upload = {'Content-Type': 'application/octet-stream'}
    for method, suffix, body, headers in [
        ('PATCH', '', change, None),
        ('DELETE', '', None, None),
        ('PUT', '/file', b'x', upload),
        ('PUT', '/stage', b'x', upload),
        ('POST', '/import', {'method': {'name': 'web-download'}}, None),
    ]:
        args = {'body': body, 'headers': headers, 'caller': MEMBER}
        assert error(api.call(method, hidden + suffix, **args)) == (404, 'image_not_found')
        assert error(api.call(method, public + suffix, **args)) == (403, 'forbidden')
    for suffix in ('', '/tasks', '/file'):
        assert error(api.get(hidden + suffix, caller=MEMBER)) == (404, 'image_not_found')
    assert api.get(public, caller=READER).status_int == 200
    assert api.get(public + '/tasks', caller=READER).json == {'tasks': []}
    assert error(api.get(public + '/file', caller=READER)) == (403, 'forbidden')
    assert api.get(public, caller='nobody').status_int == 401


def test_a_patch_changes_adds_and_removes(api: Api) -> None:
    path = api.create(name='n', a='1', tags=['x'])
    answer = api.call(
        'PATCH',
        path,
        [
            {'op': 'replace', 'path': '/name', 'value': 'm'},
            {'op': 'add', 'path': '/b~1c', 'value': '2'},
            {'op': 'remove', 'path': '/a'},
            {'op': 'replace', 'path': '/tags', 'value': ['q', 'p', 'q']},
            {'op': 'add', 'path': '/d', 'value': '3'},
            {'op': 'replace', 'path': '/d', 'value': '4'},
            {'op': 'replace', 'path': '/disk_format', 'value': 'qcow2'},
        ],
    )
    assert answer.status_int == 200
    shown = answer.json
    assert (shown['name'], shown['b/c'], shown['d'], shown['tags']) == ('m', '2', '4', ['p', 'q'])
    assert 'a' not in shown
    assert api.get(path).json == shown


def test_the_older_patch_language(api: Api) -> None:
    path = api.create(a='1')
    older = {'Content-Type': 'application/openstack-images-v2.0-json-patch'}
    answer = api.call('PATCH', path, [{'replace': '/a', 'value': '2'}], older)
    assert answer.json['a'] == '2'
    assert error(api.call('PATCH', path, [{'add': '/a', 'value': '3'}], older)) == (409, 'conflict')
    wrong = api.call('PATCH', path, [{'op': 'add', 'path': '/a', 'value': '3'}], older)
    assert error(wrong) == (400, 'invalid_request')


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ([{'op': 'replace', 'path': '/status', 'value': 'active'}], (403, 'forbidden')),
        ([{'op': 'replace', 'path': '/id', 'value': 'x'}], (403, 'forbidden')),
        ([{'op': 'remove', 'path': '/name'}], (403, 'forbidden')),
        ([{'op': 'add', 'path': '/os_glance_x', 'value': 'x'}], (403, 'forbidden')),
        ([{'op': 'add', 'path': '/locations/-', 'value': {}}], (403, 'forbidden')),
        ([{'op': 'replace', 'path': '/zz', 'value': 'x'}], (409, 'conflict')),
        ([{'op': 'remove', 'path': '/zz'}], (409, 'conflict')),
        ([{'op': 'replace', 'path': '/min_disk', 'value': '5'}], (400, 'invalid_request')),
        ([{'op': 'replace', 'path': '/min_disk', 'value': None}], (400, 'invalid_request')),
        ([{'op': 'add', 'path': '/k', 'value': 5}], (400, 'invalid_request')),
        (
            [{'op': 'add', 'path': f'/k{n}', 'value': 'v'} for n in range(129)],
            (413, 'limit_exceeded'),
        ),
        # the last one fails, so that none is done
        (
            [{'op': 'add', 'path': '/a', 'value': '9'}, {'op': 'remove', 'path': '/zz'}],
            (409, 'conflict'),
        ),
    ],
)
def test_a_refused_patch_changes_nothing(
    api: Api, changes: list[dict[str, object]], expected: tuple[int, str]
) -> None:
    path = api.create(a='1')
    before = api.get(path).json
    assert error(api.call('PATCH', path, changes)) == expected
    assert api.get(path).json == before


def test_an_image_above_a_lowered_limit_can_be_changed_and_does_not_grow(make_api: Any) -> None:
    path = make_api().create(a='1', b='2', tags=['x', 'y'])
    api = make_api('[DEFAULT]\nimage_property_quota = 1\nimage_tag_quota = 1\n')
    for change in (
        {'op': 'replace', 'path': '/name', 'value': 'new'},
        {'op': 'replace', 'path': '/a', 'value': '3'},
        {'op': 'replace', 'path': '/tags', 'value': ['x', 'z']},
    ):
        assert api.call('PATCH', path, [change]).status_int == 200
    for change in (
        {'op': 'add', 'path': '/c', 'value': '3'},
        {'op': 'replace', 'path': '/tags', 'value': ['x', 'y', 'z']},
    ):
        assert error(api.call('PATCH', path, [change])) == (413, 'limit_exceeded')
    assert error(api.call('PUT', path + '/tags/t')) == (413, 'limit_exceeded')
    assert api.call('PATCH', path, [{'op': 'remove', 'path': '/b'}]).status_int == 200
    assert api.get(path).json['tags'] == ['x', 'z']


def test_a_patch_of_nothing_changes_nothing(api: Api) -> None:
    path = api.create(name='n')
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    with api.services.db.writer() as session:
        images.update(session, path.rpartition('/')[2], updated_at=long_ago)
    answer = api.call('PATCH', path, [])
    assert answer.status_int == 200 and answer.json == api.get(path).json
    assert answer.json['updated_at'] == '2020-01-01T00:00:00Z'


def test_a_patch_of_another_type_tells_the_right_ones(api: Api) -> None:
    answer = api.call('PATCH', api.create(), [], {'Content-Type': 'application/json'})
    assert error(answer) == (415, 'unsupported_media_type')
    assert 'openstack-images-v2.1-json-patch' in answer.headers['Accept-Patch']


def test_formats_are_locked_once_there_is_data(api: Api) -> None:
    change = [{'op': 'replace', 'path': '/disk_format', 'value': 'qcow2'}]
    assert error(api.call('PATCH', api.upload(), change)) == (403, 'forbidden')
    assert api.call('PATCH', api.stage(), change).status_int == 200


def test_only_an_administrator_gives_an_image_away(api: Api) -> None:
    path = api.create(caller=MEMBER)
    change = [{'op': 'replace', 'path': '/owner', 'value': 'p3'}]
    assert error(api.call('PATCH', path, change, caller=MEMBER)) == (403, 'forbidden')
    assert api.call('PATCH', path, change).json['owner'] == 'p3'


def test_a_protected_image_is_not_deleted(api: Api) -> None:
    path = api.create(protected=True)
    assert error(api.call('DELETE', path)) == (403, 'forbidden')
    api.call('PATCH', path, [{'op': 'replace', 'path': '/protected', 'value': False}])
    assert api.call('DELETE', path).status_int == 204
    assert error(api.get(path)) == (404, 'image_not_found')
    assert error(api.call('DELETE', path)) == (404, 'image_not_found')


def test_deleting_removes_the_data(api: Api) -> None:
    stored, staged = api.upload(), api.stage()
    assert len(api.stored_files()) == 1 and len(api.staged_files()) == 1
    assert api.call('DELETE', stored).status_int == 204
    assert api.call('DELETE', staged).status_int == 204
    assert api.stored_files() == [] and api.staged_files() == []


def test_an_id_that_is_none_is_not_found(api: Api) -> None:
    for image_id in ('not-a-uuid', '%00', 'x' * 300, '%F0%9F%98%80', str(uuid.uuid4())):
        assert error(api.get(f'/v2/images/{image_id}')) == (404, 'image_not_found')


def test_what_is_to_be_removed_is_noted_until_it_is_gone(api: Api, tmp_path: Path) -> None:
    kept_away, gone = api.upload(), api.upload()
    assert api.call('DELETE', gone).status_int == 204
    (tmp_path / 'fast').rename(tmp_path / 'away')
    assert api.call('DELETE', kept_away).status_int == 204
    (tmp_path / 'away').rename(tmp_path / 'fast')
    with api.services.db.reader() as session:
        (note,) = removals.list_all(session)
    assert kept_away.endswith(note.image_id) and note.url is not None
    assert [os.path.basename(note.url)] == api.stored_files()


def test_what_an_upload_left_is_removed_with_its_image(api: Api) -> None:
    path = api.create(**FORMATS)
    image_id = path.rpartition('/')[2]
    with api.services.db.writer() as session:
        images.update(session, image_id, status='saving')
        uploads.begin(session, image_id, 'of a process that died')
    put(api.services.stores.get('cold'), image_id, 'a', b'left')
    assert api.call('DELETE', path).status_int == 204
    with api.services.db.reader() as session:
        notes = removals.list_all(session)
    assert sorted(note.store for note in notes) == ['cold', 'fast']
    for note in notes:
        assert removing.carry_out(api.services.db, api.services.stores, note)
    assert api.stored_files() == []


def test_a_change_answers_what_is_then_shown(api: Api) -> None:
    path = api.create(tags=['b'], os='x', old='y')
    changes = [
        {'op': 'replace', 'path': '/tags', 'value': ['z', 'a', 'z']},
        {'op': 'replace', 'path': '/os', 'value': 'other'},
        {'op': 'remove', 'path': '/old'},
        {'op': 'add', 'path': '/new', 'value': ''},
        {'op': 'replace', 'path': '/min_ram', 'value': 7},
    ]
    answer = api.call('PATCH', path, changes)
    assert answer.status_int == 200 and answer.json == api.get(path).json
    assert answer.json['tags'] == ['a', 'z'] and answer.json['os'] == 'other'
