# SPDX-License-Identifier: Apache-2.0
"""Errors as clients read them, and what each exception becomes."""

from __future__ import annotations

import inspect
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from glanceclient import exc as glanceclient_errors
from openstack import exceptions as sdk_errors
from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.api import errors
from glance_lite.db import trouble

from .conftest import Api

PATH = '/v2/images/00000000-0000-4000-8000-000000000000'


class Response:
    """What the client libraries look at."""

    def __init__(self, answer: Any) -> None:
        self.status_code = answer.status_int
        self.headers = {'content-type': answer.headers['Content-Type']}
        self.content, self.text, self.reason, self.url = answer.body, answer.text, 'x', 'y'
        self._answer = answer

    def json(self) -> Any:
        return self._answer.json


@pytest.mark.parametrize('accept', ['*/*', 'application/json', None, 'text/html,*/*;q=0.8'])
def test_clients_find_the_sentence(api: Api, accept: str | None) -> None:
    answer = api.get(PATH, headers={'Accept': accept} if accept else None)
    sentence = 'No image found with id 00000000-0000-4000-8000-000000000000.'
    assert answer.json == {
        'error': {
            'code': 'image_not_found',
            'message': sentence,
            'status': 404,
            'title': 'Not Found',
            'request_id': answer.headers['x-openstack-request-id'],
        }
    }
    assert glanceclient_errors.from_response(Response(answer), answer.body).details == sentence
    with pytest.raises(sdk_errors.NotFoundException) as raised:
        sdk_errors.raise_from_response(Response(answer))
    assert raised.value.details == sentence


def test_plain_text_for_those_who_take_nothing_else(api: Api) -> None:
    answer = api.get(PATH, headers={'Accept': 'text/plain'})
    assert answer.content_type == 'text/plain'
    assert 'No image found' in answer.text
    assert answer.headers['x-openstack-request-id'] in answer.text


def test_every_exception_that_a_request_may_raise_has_a_status() -> None:
    quiet = {
        exceptions.GlanceLiteError,
        exceptions.ConfigError,
        exceptions.ImportCancelled,
    }
    for name, kind in inspect.getmembers(exceptions, inspect.isclass):
        if not issubclass(kind, exceptions.GlanceLiteError) or kind in quiet:
            continue
        error = kind.__new__(kind)
        error.message, error.size = 'x', 5
        answer = errors.describe(error)
        assert answer is not None and 400 <= answer.status < 600, name


@pytest.mark.parametrize(
    ('error', 'word'),
    [
        (db_exception.DBDeadlock(), 'busy'),
        (db_exception.DBConnectionError(), 'does not answer'),
        (trouble.CommitUnknown(), 'look before you try again'),
        (
            sa.exc.OperationalError(
                "UPDATE images SET owner = 'secret'",
                {'a': 'secret'},
                pymysql.OperationalError(1021, 'Disk full'),
            ),
            'no space left',
        ),
    ],
)
def test_trouble_of_the_database_is_no_fault_of_the_request(error: Exception, word: str) -> None:
    answer = errors.describe(error)
    assert answer is not None and (answer.status, answer.code) == (503, 'service_unavailable')
    assert answer.headers == [('Retry-After', '5')]
    assert word in answer.message
    assert answer.cause is not None and 'secret' not in answer.cause


def test_what_is_no_trouble_of_the_database_is_no_503() -> None:
    assert errors.describe(db_exception.DBDuplicateEntry()).status == 409
    assert errors.describe(db_exception.DBError(ValueError())) is None
    assert errors.describe(ValueError()) is None


def test_a_name_that_pads_to_another_is_a_conflict_on_databases_that_pad(api: Api) -> None:
    answer = api.call('POST', '/v2/images', {'a': 'x', 'a ': 'y'})
    assert answer.status_int in (201, 409)
