# SPDX-License-Identifier: Apache-2.0
"""What the service tells of itself: versions, stores, methods, schemas, health."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .conftest import Api, error


@pytest.mark.parametrize(
    ('path', 'status'),
    [
        ('/', 300),
        ('/versions', 200),
        ('/versions/', 200),
        ('/v2/', 200),
        ('/v2.17', 200),
        ('/v2.0/', 200),
        ('/v2.99/', 300),
        ('/v1/', 300),
        ('/v3/images', 300),
        ('/nothing', 300),
        ('/v2.99/images', 300),
        ('', 300),
        ('/v2.x/images', 300),
    ],
)
def test_versions_need_no_token(api: Api, path: str, status: int) -> None:
    answer = api.get(path, caller='nobody')
    assert answer.status_int == status
    versions = answer.json['versions']
    assert versions[0] == {
        'id': 'v2.17',
        'status': 'CURRENT',
        'links': [{'rel': 'self', 'href': 'http://localhost/v2/'}],
    }
    assert {version['status'] for version in versions[1:]} == {'SUPPORTED'}
    assert len(versions) == len({version['id'] for version in versions})
    assert {'v2.0', 'v2.6', 'v2.8', 'v2.13', 'v2.15'} <= {version['id'] for version in versions}


def test_without_named_stores_their_versions_are_not_offered(make_api: Any, tmp_path: Path) -> None:
    api = make_api(f'[glance_store]\nfilesystem_store_datadir = {tmp_path}/one\n', stores='')
    shown = {version['id'] for version in api.get('/').json['versions']}
    assert 'v2.8' not in shown and 'v2.17' in shown
    assert api.get('/v2/info/stores').json == {'stores': [{'id': 'file', 'default': 'true'}]}


@pytest.mark.parametrize(
    'chosen',
    [
        {},
        {'all_stores_must_succeed': False},
        {'all_stores': True, 'all_stores_must_succeed': False},
        {'stores': ['file']},
    ],
)
def test_one_store_is_asked_for_as_several_are(
    make_api: Any, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    api = make_api(f'[glance_store]\nfilesystem_store_datadir = {tmp_path}/one\n', stores='')
    path = api.stage()
    body = {'method': {'name': 'glance-direct'}, **chosen}
    assert api.call('POST', path + '/import', body).status_int == 202
    assert api.get(path).json['os_glance_importing_to_stores'] == 'file'
    other = {**body, 'stores': ['fast'], 'all_stores': False}
    assert error(api.call('POST', api.stage() + '/import', other)) == (409, 'conflict')
    uploaded = api.upload()
    assert api.get(uploaded).json['stores'] == 'file'
    only = f"/v2/stores/file/{uploaded.rpartition('/')[2]}"
    assert error(api.call('DELETE', only)) == (403, 'forbidden')


def test_a_minor_version_is_spoken_by_url_and_by_header(api: Api) -> None:
    assert api.get('/v2.9/images?limit=1').json['first'] == '/v2/images?limit=1'
    header = {'Accept': 'application/vnd.openstack.images-v2.3'}
    assert api.get('/images', headers=header).json['schema'] == '/v2/schemas/images'
    assert api.get('/', headers=header).json == api.get('/versions').json
    header = {'Accept': 'application/vnd.openstack.images-v3.0'}
    assert api.get('/images', headers=header).status_int == 300
    assert api.get('/v2').headers['Location'] == 'http://localhost/v2/'
    for path in ('/', '/versions', '/v2', '/v2/', '/v2.17'):
        answer = api.call('POST', path)
        assert (answer.status_int, answer.headers['Allow']) == (405, 'GET, HEAD'), path


def test_links_follow_the_public_endpoint(make_api: Any) -> None:
    api = make_api('[DEFAULT]\npublic_endpoint = https://images.example/x/\n')
    href = api.get('/').json['versions'][0]['links'][0]['href']
    assert href == 'https://images.example/x/v2/'
    answer = api.call('POST', '/v2/images', {})
    assert answer.headers['Location'].startswith('https://images.example/x/v2/images/')


def test_import_methods(make_api: Any) -> None:
    api = make_api('[DEFAULT]\nenabled_import_methods = [web-download]\n')
    assert api.get('/v2/info/import').json['import-methods']['value'] == ['web-download']
    answer = api.call('POST', '/v2/images', {})
    assert answer.headers['OpenStack-image-import-methods'] == 'web-download'


def test_stores(make_api: Any) -> None:
    api = make_api('[cold]\nstore_description = slow and cheap\nweight = 5\n')
    assert api.get('/v2/info/stores', caller='p2:reader').json == {
        'stores': [
            {'id': 'fast', 'default': 'true'},
            {'id': 'cold', 'description': 'slow and cheap'},
        ]
    }
    assert error(api.get('/v2/info/stores/detail', caller='p2:member')) == (403, 'forbidden')
    detail = api.get('/v2/info/stores/detail').json['stores'][1]
    assert (detail['type'], detail['weight']) == ('file', 5)


def test_schemas_are_schemas_and_fit_what_is_shown(api: Api) -> None:
    path = api.upload(a='b')
    image = api.get(path).json
    for name, data in [
        ('image', image),
        ('images', api.get('/v2/images').json),
        ('task', None),
        ('tasks', {'tasks': []}),
    ]:
        schema = api.get(f'/v2/schemas/{name}').json
        assert schema['name'] == name
        jsonschema.Draft202012Validator.check_schema(schema)
        if data is not None:
            jsonschema.validate(data, schema)
    assert error(api.get('/v2/schemas/nothing')) == (404, 'not_found')


def test_health_is_answered_without_a_token_until_a_file_says_no(
    make_api: Any, tmp_path: Path
) -> None:
    stop = tmp_path / 'stop'
    api = make_api(f'[healthcheck]\ndisable_by_file_path = {stop}\n')
    assert api.get('/healthcheck', caller='nobody').status_int == 200
    stop.touch()
    assert api.get('/healthcheck', caller='nobody').status_int == 503


@pytest.mark.parametrize('path', ['/', '', '/versions', '/healthcheck'])
def test_what_needs_no_token_can_only_be_read(api: Api, path: str) -> None:
    for method in ('POST', 'PUT', 'PATCH', 'DELETE', 'TRACE'):
        answer = api.call(method, path, caller='nobody')
        assert error(answer) == (405, 'method_not_allowed')
        assert answer.headers['Allow'] == 'GET, HEAD'
    assert api.call('HEAD', path, caller='nobody').status_int in (200, 204, 300)
