# SPDX-License-Identifier: Apache-2.0
"""Tasks over HTTP: what is accepted, what is refused and how, who sees which."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from glance_lite.db import jobs, tasks
from glance_lite.domain import task as domain

from .conftest import Api, error

URI = 'http://203.0.113.9/disk.qcow2'
ETC = Path(__file__).resolve().parents[3] / 'etc'
PERMIT = '[import_filtering_opts]\npermitted_networks = 203.0.113.0/24\n'
MEMBER, OTHER = 'p2:member,reader', 'p3:member,reader'


def body(uri: Any = URI, disk_format: Any = 'qcow2', **properties: Any) -> dict[str, Any]:
    return {
        'type': 'import',
        'input': {
            'import_from': uri,
            'import_from_format': disk_format,
            'image_properties': properties,
        },
    }


def post(api: Api, what: Any, **kwargs: Any) -> Any:
    return api.call('POST', '/v2/tasks', what, **kwargs)


def path_of(answer: Any) -> str:
    assert answer.status_int == 201, answer.text
    return answer.headers['Location'].removeprefix('http://localhost')


def state(api: Api) -> tuple[Any, ...]:
    """Return what a refused request must not change."""
    with api.services.db.reader() as session:
        count = jobs.count(session)
    return count, api.get('/v2/tasks').json, api.get('/v2/images').json


@pytest.fixture
def api(make_api: Any) -> Api:
    """Return an application that lets the documentation's addresses pass the filter."""
    return make_api(PERMIT)


@pytest.fixture
def open_api(make_api: Any, tmp_path: Path) -> Api:
    """Return an application whose tasks are open to members."""
    (tmp_path / 'policy.yaml').write_text((ETC / 'policy-tasks-for-members.yaml').read_text())
    return make_api(PERMIT)


def test_a_task_is_made_and_no_image(api: Api) -> None:
    given = body(name='GreatStack 1.22', tags=['lamp', 'custom'], os_distro='debian')
    answer = post(api, given, headers={'x-openstack-request-id': 'req-42'})
    path = path_of(answer)
    shown = answer.json
    assert (shown['type'], shown['status'], shown['input']) == ('import', 'pending', given['input'])
    assert (shown['owner'], shown['user_id'], shown['request_id']) == (
        'p1',
        'user-of-p1',
        'req-42',
    )
    assert (shown['result'], shown['message'], shown['error']) == (None, '', None)
    assert 'expires_at' not in shown and shown['image_id'] is None
    assert (shown['self'], shown['schema']) == (path, '/v2/schemas/task')
    found = api.get(path).json
    assert (found['progress']['phase'], found['progress']['position']) == ('waiting', 1)
    assert {**found, 'progress': None} == shown
    assert api.get('/v2/images').json['images'] == []
    with api.services.db.reader() as session:
        task = tasks.get(session, shown['id'])
        assert [job.uuid for job in jobs.list_claimable(session, [])] == [task.task_id]
    assert api.get(f'/v2/images/{task.image_id}').status_int == 404
    assert api.get(f'/v2/images/{task.image_id}/tasks').status_int == 404
    assert task.plan['image']['container_format'] == 'bare'
    assert task.plan['stores'] == ['fast'] and task.deadline_ms is not None


def test_secrets_of_a_url_are_not_shown(api: Api) -> None:
    answer = post(api, body('http://user:secret1@203.0.113.9/x?X-Amz-Signature=secret2'))
    path = path_of(answer)
    assert 'secret' not in answer.text + api.get(path).text + api.get('/v2/tasks').text
    assert answer.json['input']['import_from'] == 'http://***@203.0.113.9/x?X-Amz-Signature=***'


def without(name: str) -> dict[str, Any]:
    whole = body()
    del (whole if name in whole else whole['input'])[name]
    return whole


#: A body, and what its message must have.
REFUSED: list[tuple[Any, str]] = [
    ([], 'must be a JSON object like {'),
    ('x', 'must be a JSON object like {'),
    ({}, "needs the field 'type'"),
    (without('type'), "needs the field 'type'"),
    (without('input'), "needs the field 'input'"),
    ({**body(), 'type': None}, "'type' must be 'import'"),
    ({**body(), 'type': 'export'}, "'type' must be 'import'"),
    ({**body(), 'type': 'api_image_import'}, 'POST /v2/images/<id>/import'),
    ({**body(), 'extra': 1}, "no field 'extra'"),
    ({**body(), 'input': None}, "'input' must be an object"),
    ({**body(), 'input': []}, "'input' must be an object"),
    (without('import_from'), "needs the field 'input.import_from'"),
    (without('import_from_format'), "needs the field 'input.import_from_format'"),
    (without('image_properties'), "needs the field 'input.image_properties'"),
    ({'type': 'import', 'input': {**body()['input'], 'uri': 1}}, "no field 'input.uri'"),
    (body(None), "'input.import_from' must be a string"),
    (body(5), "'input.import_from' must be a string"),
    (body(''), "'input.import_from' is empty"),
    (body('  '), "'input.import_from' is empty"),
    (body('disk.qcow2'), 'http, https or swift'),
    (body('file:///etc/passwd'), 'http, https or swift'),
    (body('ftp://203.0.113.9/x'), 'http, https or swift'),
    (body('http://'), "'input.import_from'"),
    (body('http:'), "'input.import_from'"),
    (body('http://203.0.113.9:99999/x'), "'input.import_from'"),
    (body('http://10.0.0.1/x'), 'private range'),
    (body('http://169.254.169.254/latest'), "'input.import_from'"),
    (body('swift://'), 'it has no host'),
    (body('swift://203.0.113.9'), 'swift://host/account/container/object'),
    (body('swift://203.0.113.9/account/container'), 'swift://host/account/container/object'),
    (body('swift://203.0.113.9/account//object'), 'swift://host/account/container/object'),
    (body('swift://u:p@203.0.113.9/a/c/o'), 'takes no user and password'),
    (body('swift://10.0.0.1/a/c/o'), 'private range'),
    (body(disk_format=None), "'input.import_from_format' must be one of"),
    (body(disk_format='jpeg'), "'input.import_from_format' must be one of"),
    (body(id='11111111-2222-3333-4444-555555555555'), "'input.image_properties.id'"),
    (body(name=5), 'name must be'),
    (body(tags='lamp'), 'tags must be a list'),
    (body(os_distro=5), 'os_distro must be a string'),
    (body(container_format='box'), 'container_format must be one of'),
    (body(min_disk=-1), 'min_disk must be'),
    (body(visibility='hidden'), 'visibility must be one of'),
]


def test_what_is_wrong_is_named_before_there_is_a_task(api: Api) -> None:
    before = state(api)
    for what, words in REFUSED:
        answer = post(api, what)
        assert answer.status_int == 400, (what, answer.text)
        assert words in answer.json['error']['message'], (what, answer.text)
    wrong = body()
    wrong['input']['image_properties'] = []
    assert "'input.image_properties' must be an object" in post(api, wrong).text
    assert state(api) == before


def test_the_format_is_that_of_the_data(api: Api) -> None:
    same, other = body(), body()
    same['input']['image_properties'] = {'disk_format': 'qcow2', 'container_format': 'ovf'}
    other['input']['image_properties'] = {'disk_format': 'raw'}
    assert post(api, same).status_int == 201
    answer = post(api, other)
    assert error(answer) == (400, 'invalid_request')
    assert "'input.image_properties.disk_format' must be the same" in answer.text


def test_a_body_that_is_no_json_is_shown_a_right_one(api: Api) -> None:
    typographic = '{“type”: “import”}'.encode()
    form = b'type=import&import_from=http%3A%2F%2Fx'
    for raw, kind, words in [
        (typographic, 'application/json', 'typographic quotes'),
        (form, 'application/x-www-form-urlencoded', 'is a form, and must be JSON'),
        (b'{"type": "import",', 'application/json', 'line 1, column'),
        (b'', 'application/json', 'has none'),
        (b'\xff\xfe', 'application/json', 'UTF-8'),
    ]:
        answer = post(api, raw, headers={'Content-Type': kind})
        assert error(answer) == (400, 'invalid_request'), raw
        message = answer.json['error']['message']
        assert words in message and '{"type": "import", "input": {"import_from": ' in message


def test_what_an_ordinary_image_may_not_have(make_api: Any) -> None:
    api = make_api(PERMIT + '[DEFAULT]\nimage_tag_quota = 1\nimage_property_quota = 1\n')
    before = state(api)
    for what, expected in [
        (body(status='active'), (403, 'forbidden')),
        (body(os_glance_import_task='x'), (403, 'forbidden')),
        (body(tags=['a', 'b']), (413, 'limit_exceeded')),
        (body(a='1', b='2'), (413, 'limit_exceeded')),
    ]:
        assert error(post(api, what)) == expected
    assert state(api) == before


def test_what_a_project_may_have(make_api: Any) -> None:
    api = make_api(PERMIT + '[import]\nmax_unfinished_per_project = 1\n')
    assert post(api, body()).status_int == 201
    assert error(post(api, body())) == (413, 'limit_exceeded')
    api = make_api(PERMIT + '[DEFAULT]\nproject_image_quota = 0\n')
    before = state(api)
    assert error(post(api, body())) == (413, 'limit_exceeded')
    assert state(api) == before


def test_a_store_of_choice(api: Api) -> None:
    answer = post(api, body(), headers={'X-Image-Meta-Store': 'cold'})
    with api.services.db.reader() as session:
        assert tasks.get(session, answer.json['id']).plan['stores'] == ['cold']
    answer = post(api, body(), headers={'X-Image-Meta-Store': 'nope'})
    assert error(answer) == (409, 'conflict')


def test_the_recommended_policy_keeps_users_out(make_api: Any, tmp_path: Path) -> None:
    (tmp_path / 'policy.yaml').write_text((ETC / 'policy-import.yaml').read_text())
    api = make_api(PERMIT)
    path = path_of(post(api, body()))
    for method, where in [
        ('POST', '/v2/tasks'),
        ('GET', '/v2/tasks'),
        ('GET', path),
        ('POST', path + '/actions/cancel'),
    ]:
        what = body() if where == '/v2/tasks' and method == 'POST' else None
        answer = api.call(method, where, what, caller=MEMBER)
        assert error(answer) == (403, 'forbidden')
        assert 'tasks_api_access' in answer.text
    image = api.create(MEMBER, disk_format='raw', container_format='bare')
    import_ = {'method': {'name': 'web-download', 'uri': URI}}
    assert api.call('POST', image + '/import', import_, caller=MEMBER).status_int == 202


def test_a_project_sees_its_own_tasks_alone(open_api: Api) -> None:
    api = open_api
    mine = path_of(post(api, body(name='mine'), caller=MEMBER))
    others = path_of(post(api, body(name='others'), caller=OTHER))
    assert [task['self'] for task in api.get('/v2/tasks', caller=MEMBER).json['tasks']] == [mine]
    assert error(api.get(others, caller=MEMBER)) == (404, 'task_not_found')
    assert error(api.call('POST', others + '/actions/cancel', caller=MEMBER)) == (
        404,
        'task_not_found',
    )
    assert {task['self'] for task in api.get('/v2/tasks').json['tasks']} == {mine, others}
    assert api.get(others).status_int == 200
    assert error(post(api, body(), caller='p2:reader')) == (403, 'forbidden')
    assert error(api.call('POST', mine + '/actions/cancel', caller='p2:reader')) == (
        403,
        'forbidden',
    )
    assert api.get(mine, caller='p2:reader').status_int == 200
    assert error(post(api, body(visibility='public'), caller=MEMBER)) == (403, 'forbidden')
    assert error(post(api, body(owner='p3'), caller=MEMBER)) == (403, 'forbidden')
    assert api.call('GET', '/v2/tasks', caller='nobody').status_int == 401


def test_pages_filters_and_order(api: Api) -> None:
    made = [path_of(post(api, body(name=str(number)))) for number in range(5)]
    image = api.create(disk_format='raw', container_format='bare')
    import_ = {'method': {'name': 'web-download', 'uri': URI}}
    assert api.call('POST', image + '/import', import_).status_int == 202
    api.call('POST', made[1] + '/actions/cancel')
    with api.services.db.writer() as session:
        tasks.finish(
            session,
            made[1].rpartition('/')[2],
            domain.FAILURE,
            datetime.timedelta(hours=1),
            message='x',
        )
    seen: list[str] = []
    where = '/v2/tasks?limit=2&type=import'
    for _ in range(3):
        page = api.get(where).json
        assert page['schema'] == '/v2/schemas/tasks'
        assert all(
            set(task) - {'expires_at'}
            == {'id', 'type', 'status', 'owner', 'created_at', 'updated_at', 'self', 'schema'}
            for task in page['tasks']
        )
        seen += [task['self'] for task in page['tasks']]
        where = page.get('next', '')
    assert where == '' and seen == made[::-1]
    up = api.get('/v2/tasks?sort_key=created_at&sort_dir=asc&type=import').json['tasks']
    assert [task['self'] for task in up] == made
    ids = [task['id'] for task in api.get('/v2/tasks?sort=id:asc').json['tasks']]
    assert len(ids) == 6 and ids == sorted(ids)
    [failed] = api.get('/v2/tasks?status=failure').json['tasks']
    assert failed['self'] == made[1] and failed['expires_at'].endswith('Z')
    [other] = api.get('/v2/tasks?type=api_image_import').json['tasks']
    assert other['type'] == 'api_image_import'
    assert api.get('/v2/tasks?status=success').json['tasks'] == []
    for query in [
        'status=done',
        'type=export',
        'sort_key=message',
        'sort_dir=up',
        'limit=x',
        'limit=-1',
        'marker=x',
        f'marker={"1" * 8}-1111-1111-1111-{"1" * 12}',
        'owner=p1',
    ]:
        answer = api.get('/v2/tasks?' + query)
        assert error(answer) == (400, 'invalid_request'), query
        assert query.partition('=')[0] in answer.text


def test_a_task_whose_time_is_over_is_gone(api: Api) -> None:
    path = path_of(post(api, body()))
    with api.services.db.writer() as session:
        tasks.finish(
            session, path.rpartition('/')[2], domain.FAILURE, datetime.timedelta(), message='x'
        )
    assert error(api.get(path)) == (404, 'task_not_found')
    assert api.get('/v2/tasks').json['tasks'] == []


def test_a_task_is_cancelled_once_or_twice_and_not_deleted(api: Api) -> None:
    path = path_of(post(api, body()))
    answer = api.call('DELETE', path)
    assert (answer.status_int, answer.headers['Allow']) == (405, 'GET')
    for _ in range(2):
        answer = api.call('POST', path + '/actions/cancel')
        assert (answer.status_int, answer.body) == (202, b'')
        assert answer.headers['Location'] == 'http://localhost' + path
    with api.services.db.writer() as session:
        task_id = path.rpartition('/')[2]
        assert tasks.list_cancelled(session, [task_id]) == {task_id}
        tasks.finish(session, task_id, domain.FAILURE, datetime.timedelta(hours=1))
    assert error(api.call('POST', path + '/actions/cancel')) == (409, 'conflict')
    for where in ('/v2/tasks/x', f'/v2/tasks/{"1" * 8}-1111-1111-1111-{"1" * 12}'):
        assert error(api.get(where)) == (404, 'task_not_found')
        assert error(api.call('POST', where + '/actions/cancel')) == (404, 'task_not_found')


def test_the_schemas_fit(api: Api) -> None:
    import jsonschema

    path = path_of(post(api, body(name='x')))
    schema = api.get('/v2/schemas/task').json
    jsonschema.validate(api.get(path).json, schema)
    assert set(api.get(path).json) <= set(schema['properties'])
    pages = api.get('/v2/schemas/tasks').json
    jsonschema.validate(api.get('/v2/tasks').json, pages)


def test_tasks_go_with_the_import_switched_off(make_api: Any) -> None:
    api = make_api('[DEFAULT]\nenable_image_import = False\n')
    assert error(api.get('/v2/tasks')) == (404, 'not_found')
