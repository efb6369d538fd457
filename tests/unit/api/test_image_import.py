# SPDX-License-Identifier: Apache-2.0
"""Asking for an import: what is accepted, what it leaves in the database, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from glance_lite import deploy
from glance_lite.db import jobs, tasks
from glance_lite.db import staged as staged_db
from glance_lite.testing.hostile import qcow2_header

from .conftest import FORMATS, Api, error

DIRECT = {'method': {'name': 'glance-direct'}}
URI = 'http://203.0.113.9/image.raw'
HASH = 'ab' * 32


def download(uri: Any = URI, **more: Any) -> dict[str, Any]:
    return {'method': {'name': 'web-download', 'uri': uri}, **more}


@pytest.fixture
def api(make_api: Any) -> Api:
    """Return an application that lets the documentation's addresses pass the filter."""
    return make_api('[import_filtering_opts]\npermitted_networks = 203.0.113.0/24\n')


def state(api: Api, path: str) -> tuple[Any, ...]:
    """Return what a refused request must not change."""
    with api.services.db.reader() as session:
        return (
            api.get(path).json,
            api.get(path + '/tasks').json,
            jobs.count(session),
            sorted(api.staged_files()),
        )


def test_a_staged_image_is_handed_to_the_conductors(api: Api) -> None:
    path = api.stage()
    answer = api.call('POST', path + '/import', DIRECT, {'x-openstack-request-id': 'req-42'})
    assert (answer.status_int, answer.body) == (202, b'')
    task_id = answer.headers['OpenStack-image-import-task-id']
    assert answer.headers['Location'] == f'http://localhost{path}/tasks'
    image = api.get(path).json
    assert image['status'] == 'importing'
    assert image['os_glance_import_task'] == task_id
    assert image['os_glance_importing_to_stores'] == 'fast'
    [task] = api.get(path + '/tasks').json['tasks']
    assert (task['id'], task['status'], task['request_id']) == (task_id, 'pending', 'req-42')
    assert (task['owner'], task['user_id'], task['image_id']) == ('p1', 'user-of-p1', image['id'])
    assert task['input'] == {'image_id': image['id'], 'import_req': DIRECT, 'backend': ['fast']}
    assert (task['progress']['phase'], task['progress']['position']) == ('waiting', 1)
    assert (task['error'], task['expires_at']) == (None, None)
    with api.services.db.reader() as session:
        record = tasks.get(session, task_id)
        data = staged_db.get(session, image['id'])
        assert [job.uuid for job in jobs.list_claimable(session, [data.area])] == [task_id]
        assert jobs.list_claimable(session, ['another area']) == []
    assert record.plan == {
        'method': 'glance-direct',
        'uri': None,
        'stores': ['fast'],
        'all_stores_must_succeed': True,
        'plugins': [],
        'validation': None,
        'limits': {},
    }
    assert record.deadline_ms > 1_700_000_000_000
    assert 'auth_token' not in record.caller and record.caller['roles'] == [
        'admin',
        'member',
        'reader',
    ]


def test_the_whole_import_in_process(api: Api) -> None:
    path = api.stage(b'abc' * 1000)
    api.call('POST', path + '/import', {**DIRECT, 'all_stores': True})
    assert deploy.load_conductor(api.services.conf, api.services).run_pending() == 1
    image = api.get(path).json
    assert (image['status'], image['stores']) == ('active', 'fast,cold')
    assert 'os_glance_import_task' not in image
    assert api.get(path + '/file').body == b'abc' * 1000
    [task] = api.get(path + '/tasks').json['tasks']
    assert task['status'] == 'success' and task['progress']['phase'] == 'complete-task'
    assert task['expires_at'].endswith('Z') and api.staged_files() == []


def test_a_download_with_a_hash_and_stores(api: Api) -> None:
    path = api.create(**FORMATS)
    body = download(stores=['cold', 'fast', 'cold'], all_stores_must_succeed=False)
    body['method']['validation_data'] = {'os_hash_algo': 'sha256', 'os_hash_value': HASH.upper()}
    answer = api.call('POST', path + '/import', body)
    assert answer.status_int == 202
    with api.services.db.reader() as session:
        plan = tasks.get(session, answer.headers['OpenStack-image-import-task-id']).plan
        assert len(jobs.list_claimable(session, [])) == 1  # any conductor can
    assert (plan['uri'], plan['stores']) == (URI, ['cold', 'fast'])
    assert plan['all_stores_must_succeed'] is False
    assert plan['validation'] == {'os_hash_algo': 'sha256', 'os_hash_value': HASH}


def test_secrets_of_a_uri_are_not_shown(api: Api) -> None:
    path = api.create(**FORMATS)
    uri = 'http://user:secret1@203.0.113.9/x?X-Amz-Signature=secret2'
    assert api.call('POST', path + '/import', download(uri)).status_int == 202
    assert 'secret' not in api.get(path + '/tasks').text


def test_a_second_import_is_told_of_the_first(api: Api) -> None:
    path = api.create(**FORMATS)
    first = api.call('POST', path + '/import', download())
    task_id = first.headers['OpenStack-image-import-task-id']
    for body in (download(), DIRECT):
        answer = api.call('POST', path + '/import', body)
        assert error(answer) == (409, 'import_running')
        message = answer.json['error']['message']
        assert task_id in message and 'waiting for a conductor' in message
        assert 'seconds ago' in message
    with api.services.db.writer() as session:
        job = jobs.list_claimable(session, None)[0]
        jobs.claim(session, job.uuid, job.gen, 'me', 60000)
        jobs.renew(session, job.uuid, job.gen + 1, 60000, {'phase': 'download'})
    message = api.call('POST', path + '/import', download()).json['error']['message']
    assert 'phase download' in message


def test_deleting_an_image_cancels_its_import(api: Api) -> None:
    path = api.stage()
    answer = api.call('POST', path + '/import', DIRECT)
    assert api.call('DELETE', path).status_int == 204
    with api.services.db.reader() as session:
        task = tasks.get(session, answer.headers['OpenStack-image-import-task-id'])
    assert task.cancel_requested
    assert api.staged_files() == []


def test_a_new_import_forgets_the_error_of_the_last(api: Api) -> None:
    path = api.stage(b'not qcow2')
    qcow2 = [{'op': 'replace', 'path': '/disk_format', 'value': 'qcow2'}]
    assert api.call('PATCH', path, qcow2).status_int == 200
    api.call('POST', path + '/import', DIRECT)
    deploy.load_conductor(api.services.conf, api.services).run_pending()
    image = api.get(path).json
    assert image['status'] == 'queued'
    assert image['os_glance_import_error'].startswith('format_mismatch: ')
    [task] = api.get(path + '/tasks').json['tasks']
    assert (task['status'], task['error']['code']) == ('failure', 'format_mismatch')
    assert error(api.call('PUT', path + '/stage', b'again')) == (415, 'format_mismatch')
    assert api.get(path).json['status'] == 'queued' and api.staged_files() == []
    api.call('PUT', path + '/stage', qcow2_header())
    assert api.call('POST', path + '/import', DIRECT).status_int == 202
    assert 'os_glance_import_error' not in api.get(path).json
    assert 'os_glance_failed_import' not in api.get(path).json


BAD_BODIES = [
    [],
    'x',
    5,
    None,
    True,
    {},
    {'method': None},
    {'method': []},
    {'method': 'glance-direct'},
    {'method': {}},
    {'method': {'name': None}},
    {'method': {'name': 5}},
    {'method': {'name': ['glance-direct']}},
    {'method': {'name': {'a': 1}}},
    {'method': {'name': 'zzz'}},
    {'method': {'name': 'x' * 100000}},
    {'method': {'name': 'glance-download'}},
    {**DIRECT, 'stores': 'fast'},
    {**DIRECT, 'stores': []},
    {**DIRECT, 'stores': None},
    {**DIRECT, 'stores': {}},
    {**DIRECT, 'stores': [5]},
    {**DIRECT, 'stores': ['fast', None]},
    {**DIRECT, 'stores': [['fast']]},
    {**DIRECT, 'all_stores': 'yes'},
    {**DIRECT, 'all_stores': 1},
    {**DIRECT, 'all_stores': None},
    {**DIRECT, 'all_stores_must_succeed': 'no'},
    {**DIRECT, 'all_stores_must_succeed': 0},
    {**DIRECT, 'all_stores_must_succeed': None},
    {'method': {'name': 'web-download', 'uri': 5}},
    {'method': {'name': 'web-download', 'uri': []}},
    {'method': {'name': 'web-download', 'uri': {}}},
    *(
        {'method': {'name': 'web-download', 'uri': URI, 'validation_data': data}}
        for data in (
            'x',
            [],
            {},
            {'os_hash_algo': 'sha256'},
            {'os_hash_value': HASH},
            {'os_hash_algo': 'sha256', 'os_hash_value': HASH, 'more': 1},
            {'os_hash_algo': 'nope', 'os_hash_value': HASH},
            {'os_hash_algo': None, 'os_hash_value': HASH},
            {'os_hash_algo': ['md5'], 'os_hash_value': HASH},
            {'os_hash_algo': 'shake_128', 'os_hash_value': HASH},
            {'os_hash_algo': 'sha512', 'os_hash_value': HASH},
            {'os_hash_algo': 'sha256', 'os_hash_value': 'zz' * 32},
            {'os_hash_algo': 'sha256', 'os_hash_value': 5},
        )
    ),
    {
        'method': {
            'name': 'glance-direct',
            'validation_data': {'os_hash_algo': 'sha256', 'os_hash_value': HASH},
        }
    },
]


def test_a_body_that_is_wrong(api: Api) -> None:
    for path in (api.stage(), api.create(**FORMATS)):
        before = state(api, path)
        for body in BAD_BODIES:
            answer = api.call('POST', path + '/import', b'null' if body is None else body)
            assert error(answer) == (400, 'invalid_request'), body
            assert 20 < len(answer.json['error']['message']) < 700, body
        assert state(api, path) == before


BAD_SOURCES = [
    '',
    None,
    'not a uri',
    'ftp://203.0.113.9/x',
    'file:///etc/passwd',
    'http://10.0.0.1/x',
    'http://127.0.0.1/x',
    'http://[::1]/x',
    'http://169.254.169.254/latest',
    'http:///x',
    'http://203.0.113.9:22/x',
    'http://2130706433/',
    'http://0x7f.1/',
    'HTTP://LOCALHOST\\@x/',
    'http://203.0.113.9/\x00',
    'x' * 100000,
]


def test_a_source_that_is_refused(api: Api) -> None:
    path = api.create(**FORMATS)
    before = state(api, path)
    for uri in BAD_SOURCES:
        answer = api.call('POST', path + '/import', download(uri))
        expected = (400, 'filtered_uri' if uri else 'invalid_request')
        assert error(answer) == expected, uri
    assert state(api, path) == before


def test_what_the_image_does_not_allow(api: Api) -> None:
    queued, staged, active = api.create(**FORMATS), api.stage(), api.upload()
    bare = api.create()
    for path, body in [
        (queued, DIRECT),
        (staged, download()),
        (active, DIRECT),
        (active, download()),
        (bare, download()),
    ]:
        before = state(api, path)
        assert error(api.call('POST', path + '/import', body)) == (409, 'status_conflict')
        assert state(api, path) == before
    message = api.call('POST', bare + '/import', download()).json['error']['message']
    assert message.startswith('container_format and disk_format must be set')


def test_stores_that_cannot_be_used(api: Api) -> None:
    path = api.stage()
    before = state(api, path)
    header = {'X-Image-Meta-Store': 'cold'}
    for body, headers, expected in [
        ({**DIRECT, 'stores': ['fast', 'nope']}, None, (409, 'conflict')),
        (DIRECT, {'X-Image-Meta-Store': 'nope'}, (409, 'conflict')),
        ({**DIRECT, 'stores': ['fast']}, header, (400, 'invalid_request')),
        ({**DIRECT, 'stores': ['cold', 'fast']}, header, (400, 'invalid_request')),
        ({**DIRECT, 'all_stores': True}, header, (400, 'invalid_request')),
        ({**DIRECT, 'all_stores': True, 'stores': ['fast']}, None, (400, 'invalid_request')),
    ]:
        assert error(api.call('POST', path + '/import', body, headers)) == expected
        assert state(api, path) == before
    for body in (DIRECT, {**DIRECT, 'stores': ['cold']}):  # the latter is what openstacksdk sends
        path = api.stage()
        assert api.call('POST', path + '/import', body, header).status_int == 202
        assert api.get(path).json['os_glance_importing_to_stores'] == 'cold'


def test_an_unknown_store_is_told_before_a_bad_source(api: Api) -> None:
    path = api.create(**FORMATS)
    answer = api.call('POST', path + '/import', download('ftp://x/', stores=['nope']))
    assert error(answer) == (409, 'conflict')


def test_half_staged_data_is_not_imported(api: Api) -> None:
    path = api.stage()
    with api.services.db.writer() as session:
        staged_db.delete(session, path.rpartition('/')[2])
    assert error(api.call('POST', path + '/import', DIRECT)) == (409, 'status_conflict')


def test_import_switched_off(make_api: Any) -> None:
    api = make_api('[DEFAULT]\nenable_image_import = False\n')
    answer = api.call('POST', '/v2/images', FORMATS)
    assert 'OpenStack-image-import-methods' not in answer.headers
    path = '/v2/images/' + answer.json['id']
    for method, where in [
        ('POST', path + '/import'),
        ('PUT', path + '/stage'),
        ('GET', '/v2/info/import'),
    ]:
        assert error(api.call(method, where)) == (404, 'not_found')
    versions = [version['id'] for version in api.get('/versions').json['versions']]
    assert 'v2.6' not in versions and 'v2.5' in versions
    assert api.get('/v2.6/images').status_int == 300
    assert api.get('/v2.5/images').status_int == 200
