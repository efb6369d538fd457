# SPDX-License-Identifier: Apache-2.0
"""The request id, the log line and the last-resort fault."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import webob

from glance_lite.middleware.envelope import Envelope


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [environ['glance_lite.request_id'].encode()]


def fail(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise RuntimeError('the password is 1234')


def call(app: Any, **headers: str) -> webob.Response:
    request = webob.Request.blank('/some/path?token=secret')
    request.headers.update({name.replace('_', '-'): value for name, value in headers.items()})
    return request.get_response(Envelope(app, 64))


def test_each_request_has_an_id() -> None:
    first, second = call(echo), call(echo)
    assert first.text == first.headers['x-openstack-request-id'] != second.text
    assert first.text.startswith('req-')


@pytest.mark.parametrize(('given', 'kept'), [('req-1', 'req-1'), ('abc', 'req-abc')])
def test_the_id_of_the_client_is_kept(given: str, kept: str) -> None:
    assert call(echo, x_openstack_request_id=given).text == kept


@pytest.mark.parametrize(
    ('given', 'status'),
    [
        ('x' * 65, 431),
        ('a b', 400),
        ('a\tb', 400),
        ('\xe4', 400),
    ],
)
def test_an_id_that_is_not_fit_for_a_log_is_refused(given: str, status: int) -> None:
    answer = call(echo, x_openstack_request_id=given)
    assert answer.status_int == status
    assert answer.json['error']['request_id'] == answer.headers['x-openstack-request-id']
    assert given not in answer.text


def test_a_fault_tells_the_client_nothing_but_the_id(caplog: pytest.LogCaptureFixture) -> None:
    answer = call(fail)
    assert answer.status_int == 500
    assert answer.json['error']['code'] == 'internal_error'
    assert '1234' not in answer.text and 'Traceback' not in answer.text
    assert answer.headers['x-openstack-request-id'] in caplog.text
    assert 'RuntimeError' in caplog.text


def test_one_line_for_each_request_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = call(echo)
    [record] = caplog.records
    assert record.getMessage().startswith(
        f"{answer.headers['x-openstack-request-id']} GET /some/path 200 "
    )
    assert 'secret' not in caplog.text
