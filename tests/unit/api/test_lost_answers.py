# SPDX-License-Identifier: Apache-2.0
"""Answers to commits are lost: the service finds out what was done, and does nothing twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from glance_lite.db import schema
from glance_lite.db.engine import Database
from tests import services

from .conftest import FORMATS, Api, error


@pytest.fixture(scope='module', params=services.SERVERS)
def url(request: Any, tmp_path_factory: Any) -> Iterator[str]:
    with services.database(request.param, str(tmp_path_factory.mktemp('db'))) as found:
        yield found


@pytest.fixture(params=[0, 1], ids=['first', 'second'])
def api(make_conf: Callable[..., Any], make_api: Callable[..., Api], url: str, request: Any) -> Api:
    """Return an application for which the answer to every other commit is lost."""
    db = Database.from_conf(make_conf(connection=url))
    schema.sync(db)
    db.dispose()
    api = make_api(connection=url)
    numbers = itertools.count(request.param)

    @sa.event.listens_for(api.services.db.write_engine, 'commit')
    def commit(session: sa.Connection) -> None:
        if next(numbers) % 2 == 0:
            connection: Any = session.connection.dbapi_connection
            connection.commit()
            connection.close()

    return api


def test_an_image_is_made_once_and_deleted_once(api: Api) -> None:
    answer = api.call('POST', '/v2/images', {'name': 'disk'})
    assert answer.status_int == 201
    path = '/v2/images/' + answer.json['id']
    assert api.get(path).json['name'] == 'disk'
    assert api.call('DELETE', path).status_int == 204
    assert error(api.get(path)) == (404, 'image_not_found')


def test_an_image_id_that_is_taken_stays_so(api: Api) -> None:
    path = api.create()
    taken = api.call('POST', '/v2/images', {'id': path.rsplit('/')[-1]})
    assert error(taken) == (409, 'image_exists')


def test_data_is_stored_and_removed(api: Api) -> None:
    path = api.create(**FORMATS)
    assert api.call('PUT', path + '/file', b'data').status_int == 204
    assert api.get(path + '/file').body == b'data'
    assert error(api.call('PUT', path + '/file', b'other')) == (409, 'status_conflict')
    assert api.call('DELETE', path).status_int == 204
    assert api.stored_files() == []


def test_an_import_begins_once(api: Api) -> None:
    path = api.create(**FORMATS)
    assert api.call('PUT', path + '/stage', b'data').status_int == 204
    assert len(api.staged_files()) == 1
    body = {'method': {'name': 'glance-direct'}}
    answer = api.call('POST', path + '/import', body)
    assert answer.status_int == 202
    tasks = api.get(path + '/tasks').json['tasks']
    assert [task['id'] for task in tasks] == [answer.headers['OpenStack-image-import-task-id']]
    assert error(api.call('POST', path + '/import', body)) == (409, 'import_running')
    for _ in range(2):
        assert api.call('POST', path + '/actions/cancel_import').status_int == 202


def test_a_change_that_may_not_be_repeated_is_left_to_its_client(api: Api) -> None:
    path = api.create()
    answers = [
        api.call('PATCH', path, [{'op': 'add', 'path': f'/p{number}', 'value': 'x'}])
        for number in range(2)
    ]
    answers.sort(key=lambda answer: answer.status_int)
    assert answers[0].status_int == 200 and error(answers[1]) == (503, 'service_unavailable')
    assert 'look before you try again' in answers[1].json['error']['message']
    image = api.get(path).json
    assert (image['p0'], image['p1']) == ('x', 'x')
