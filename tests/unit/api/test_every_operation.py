# SPDX-License-Identifier: Apache-2.0
"""What holds for each operation behind the token check, whatever it does."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import webob

from glance_lite.api.openapi import document
from tests.contract import DOCUMENTED

from .conftest import Api, error

#: Something that fits each place in a path; a new name in a path needs a value here.
PLACES = {
    'image_id': str(uuid.uuid4()),
    'member_id': 'p9',
    'value': 'lts',
    'name': 'image',
    'store_id': 'fast',
    'task_id': str(uuid.uuid4()),
}


def ask(
    api: Api, method: str, path: str, body: bytes | None = None, **headers: str
) -> webob.Response:
    """Send the request that the document has as an example."""
    request = webob.Request.blank(
        re.sub(r'{(\w+)}', lambda found: PLACES[found[1]], path), method=method
    )
    told = document.OPERATIONS[method, path].body
    if told is not None:
        request.content_type = next(iter(told.content))
        example = json.dumps(told.example).encode() if told.is_json else b'data'
        request.body = example if body is None else body
    request.headers.update({name.replace('_', '-'): value for name, value in headers.items()})
    return request.get_response(api.app)


def operations(status: int, only: str = '') -> Iterator[tuple[str, str]]:
    """Yield the operations that document a status, all of them or those that have ``only``."""
    for (method, path), statuses in DOCUMENTED.items():
        if status in statuses and only in path:
            yield method, path


def test_a_wrong_request_id_is_refused(api: Api) -> None:
    for method, path in operations(400):
        answer = ask(api, method, path, x_openstack_request_id='b@d')
        assert error(answer) == (400, 'invalid_request'), (method, path)


def test_a_long_request_id_is_refused(api: Api) -> None:
    for method, path in operations(431):
        answer = ask(api, method, path, x_openstack_request_id='x' * 65)
        assert error(answer) == (431, 'header_too_long'), (method, path)


def test_nobody_gets_in(api: Api) -> None:
    for method, path in operations(401):
        answer = ask(api, method, path, x_test_caller='nobody')
        assert error(answer) == (401, 'unauthorized'), (method, path)


def test_without_a_token_nothing_is_changed(api: Api) -> None:
    for method, path in DOCUMENTED:
        answer = ask(api, method, path, x_test_caller='anonymous')
        refused = answer.status_int == 403 and 'Without a token' in answer.text
        assert refused == (method != 'GET'), (method, path)


def test_an_image_that_there_is_not_is_not_found(api: Api) -> None:
    for method, path in operations(404, '{image_id}'):
        assert ask(api, method, path).status_int == 404, (method, path)


def test_a_json_body_has_a_limit(make_api: Any) -> None:
    api = make_api('[DEFAULT]\nmax_json_body_size = 1024\n')
    for method, path in DOCUMENTED:
        body = document.OPERATIONS[method, path].body
        if body is not None and body.is_json:
            answer = ask(api, method, path, body=b' ' * 1025)
            assert error(answer) == (413, 'limit_exceeded'), (method, path)


def test_while_the_rules_cannot_be_read_nobody_is_let_in(make_api: Any, tmp_path: Path) -> None:
    rules = tmp_path / 'policy.yaml'
    rules.write_text('{}')
    api = make_api(f'[oslo_policy]\npolicy_file = {rules}\n')
    rules.write_text('"broken')
    os.utime(rules, (4e9, 4e9))
    api.services.policy._enforcer._next_look = 0.0
    for method, path in operations(503):
        answer = ask(api, method, path)
        assert error(answer) == (503, 'service_unavailable'), (method, path)
        assert answer.headers['Retry-After'] == '5'


def test_a_rule_may_keep_callers_from_listing(make_api: Any, tmp_path: Path) -> None:
    rules = tmp_path / 'policy.yaml'
    rules.write_text('"get_images": "role:lister"\n')
    api = make_api(f'[oslo_policy]\npolicy_file = {rules}\n')
    for path in ('/v2/images', '/v1/images/detail'):
        assert error(api.get(path)) == (403, 'forbidden')
    assert api.get('/v2/images', caller='p1:lister').json['images'] == []
