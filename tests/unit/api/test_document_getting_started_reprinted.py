# SPDX-License-Identifier: Apache-2.0
"""The article "Getting started with Tasks API in Glance" as it was reprinted without its URLs.

What is left of its examples are mistakes, each of which is told at once. The ids in comments are
rows of the list of requirements.
"""

from __future__ import annotations

from typing import Any

import pytest

from glance_lite.db import jobs

from .conftest import Api, error

CURL_BODY = (
    '{“type”: “import”, “input”: {“import_from”: “”, “import_from_format”: “raw”, '
    '“image_properties” : {“name”: “test-conversion-1”, “container_format”: “bare”}}}'
)
SCHEMA = """\
{ “type”: “import”,

“input”: {

“import_from”: “swift://”,

“import_from_format”: “qcow2”,

“image_properties” : {

“name”: “GreatStack 1.22”,

“tags”: [“lamp”, “custom”]
"""
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def api(make_api: Any) -> Api:
    return make_api()


def message(
    api: Api, body: str, headers: dict[str, str] = JSON, code: str = 'invalid_request'
) -> str:
    """Return what is said of a body that must be refused, with nothing left of it."""
    answer = api.call('POST', '/v2/tasks', body.encode(), headers=headers)
    assert error(answer) == (400, code), answer.text
    assert api.get('/v2/tasks').json['tasks'] == []
    with api.services.db.reader() as session:
        assert jobs.count(session) == 0
    found: str = answer.json['error']['message']
    return found


def straight(text: str) -> str:
    return text.replace('“', '"').replace('”', '"')


def test_the_body_as_printed_has_quotes_that_json_has_not(api: Api) -> None:
    #
    for body in (CURL_BODY, SCHEMA):
        assert 'typographic quotes' in message(api, body)


def test_an_empty_url_is_no_url(api: Api) -> None:
    # at once, and no task that stays in processing
    said = message(api, straight(CURL_BODY))
    assert "'input.import_from' is empty" in said and 'http, https or swift' in said


def test_a_scheme_alone_is_no_url(api: Api) -> None:
    #
    said = message(api, straight(SCHEMA) + '}}}', code='filtered_uri')
    assert "'input.import_from'" in said and 'it has no host' in said


def test_the_braces_that_were_lost_are_missed(api: Api) -> None:
    # where the JSON breaks off is said, and what a right one looks like
    said = message(api, straight(SCHEMA))
    assert 'line 14' in said or 'line 13' in said, said
    assert '{"type": "import", "input": {"import_from": ' in said


def test_a_form_is_not_what_is_wanted(api: Api) -> None:
    # "Content-Type, replace octet stream by json because tasks API uses json schema"
    form = {'Content-Type': 'application/x-www-form-urlencoded'}
    assert 'is a form, and must be JSON' in message(api, 'type=import&import_from=', form)


def test_the_request_without_its_url_meets_other_methods(api: Api) -> None:
    # the lines "-X POST" and the address of the service are gone, too
    assert api.call('PUT', '/v2/tasks', b'{}').status_int == 405
    assert api.call('PUT', '/v2/tasks', b'{}').headers['Allow'] == 'GET, POST'
