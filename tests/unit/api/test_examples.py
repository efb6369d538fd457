# SPDX-License-Identifier: Apache-2.0
"""The API reference has an example of every call, and each example does what its section says.

Every ``$ curl`` line of ``doc/source/reference/api.rst`` is sent to the application, in the state
that its section is about (:data:`STATES`; an active image where it names none).
"""

from __future__ import annotations

import json
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
import webob

from glance_lite.api import routes
from glance_lite.api.openapi import discovery, document
from glance_lite.api.schemas import images
from glance_lite.db import images as image_records
from glance_lite.db import members
from glance_lite.domain import image as domain
from glance_lite.testing.images import write_qcow2
from tests import contract

from .conftest import Api

PAGE = Path(__file__).resolve().parents[3] / 'doc/source/reference/api.rst'
HOST = 'http://127.0.0.1:9292'
MEMBER = '8989447062e04a818baf9e073fd04fa7'
TABLE = routes.table(import_enabled=True)
OPERATIONS = {**discovery.OUTSIDE_THE_TABLE, **document.OPERATIONS}
#: What a section is about, where it is no active image.
STATES = {
    'PUT /v2/images/{image_id}/file': 'queued',
    'PUT /v2/images/{image_id}/stage': 'queued',
    'POST /v2/images/{image_id}/locations': 'queued',
    'POST /v2/images/{image_id}/import': 'uploading',
    'POST /v2/images/{image_id}/actions/cancel_import': 'importing',
    'POST /v2/images/{image_id}/actions/reactivate': 'deactivated',
    'POST /v2/images/{image_id}/members': 'not shared',
    'DELETE /v2/stores/{store_id}/{image_id}': 'copied',
}


def sections() -> dict[str, str]:
    """Return the text of each section by its heading."""
    parts = re.split(r'^(.+)\n-+\n', PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a section."""
    found = re.findall(rf'^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)', text, re.MULTILINE)
    return [re.sub(r'^   ', '', block, flags=re.MULTILINE).strip() for block in found]


def commands(text: str) -> list[str]:
    """Return the commands of a section, each on a line of its own."""
    joined = '\n'.join(blocks(text, 'console')).replace('\\\n', ' ')
    return [line.removeprefix('$ ') for line in joined.splitlines() if line.startswith('$ curl')]


def read(command: str, variables: dict[str, str], files: dict[str, bytes]) -> webob.Request:
    """Return the request that curl would send. It knows the options that the page uses."""
    for name, value in variables.items():
        command = command.replace(f'${name}', value)
    assert '$' not in command, command
    words = iter(shlex.split(command)[1:])
    method, headers, body, url = None, {}, None, None
    for word in words:
        if word == '-X':
            method = next(words)
        elif word == '-H':
            name, _, value = next(words).partition(': ')
            headers[name] = value
        elif word in ('-d', '--data-binary'):
            text = next(words)
            body = files[text[1:]] if text.startswith('@') else text.encode()
        elif word == '-o':
            next(words)
        else:
            assert word.startswith(HOST) and url is None, word
            url = word.removeprefix(HOST)
    assert url is not None
    request = webob.Request.blank(url, method=method or ('GET' if body is None else 'POST'))
    if body is not None:
        request.body = body
    request.headers.update(headers)
    return request


@pytest.fixture
def api(make_api: Callable[..., Api], tmp_path: Path) -> Api:
    return make_api(
        f'[archive]\nfilesystem_store_datadir = {tmp_path}/archive\n',
        stores='fast:file, archive:file, web:http',
    )


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Find the hosts of the examples without a network."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, '', ('93.184.215.14', 0))]
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: found)
    yield


def make_image(api: Api, state: str, data: bytes) -> str:
    """Make what a section is about, and return the id."""
    path = api.create(
        disk_format='qcow2', container_format='bare', os_distro='debian', tags=['lts']
    )
    image_id = path.rpartition('/')[2]
    if state in ('uploading', 'importing'):
        assert api.call('PUT', path + '/stage', data).status_int == 204
    elif state != 'queued':
        assert api.call('PUT', path + '/file', data).status_int == 204
    if state == 'importing':
        direct = {'method': {'name': 'glance-direct'}}
        assert api.call('POST', path + '/import', direct).status_int == 202
    elif state == 'deactivated':
        assert api.call('POST', path + '/actions/deactivate').status_int == 204
    with api.services.db.writer() as session:
        if state != 'not shared':
            members.insert(session, image_id, MEMBER)
        if state == 'copied':
            copy = domain.Location('archive', 'file:///nowhere')
            image_records.add_locations(session, image_id, [copy])
    return image_id


def ask(api: Api, section: str, tmp_path: Path) -> list[tuple[webob.Request, webob.Response]]:
    """Do what a section shows, and return what was asked and answered."""
    text = sections()[section]
    data = write_qcow2(tmp_path / 'debian.qcow2').read_bytes()
    body = next(iter(blocks(sections()['POST /v2/tasks'], 'json'))).encode()
    task = api.call('POST', '/v2/tasks', body)
    variables = {
        'ID': make_image(api, STATES.get(section, 'active'), data),
        'TASK': task.json['id'],
    }
    files = {'debian.qcow2': data, 'task.json': body}
    asked = []
    for command in commands(text):
        request = read(command, variables, files)
        asked.append((request, request.get_response(api.app)))
    return asked


@pytest.mark.parametrize('section', [' '.join(each) for each in OPERATIONS])
def test_a_call_has_an_example_that_works(api: Api, section: str, tmp_path: Path) -> None:
    method, _, path = section.partition(' ')
    asked = ask(api, section, tmp_path)
    pattern = re.compile(re.sub(r'{\w+}', '[^/]+', path))
    assert asked and any(
        request.method == method and pattern.fullmatch(request.path) for request, _ in asked
    ), f'{section} has no example: give it a $ curl line in doc/source/reference/api.rst'
    for request, answer in asked:
        told = OPERATIONS[request.method, contract.operation_path(request.path) or request.path]
        statuses = {*told.answers} | ({206} if 'Range' in request.headers else set())
        assert answer.status_int in statuses, (request.url, answer.text)
        assert answer.status_int != 204 or request.method != 'GET'


@pytest.mark.parametrize('section', [' '.join(each) for each in OPERATIONS])
def test_json_that_is_shown_is_a_body_or_an_answer(section: str) -> None:
    method, _, path = section.partition(' ')
    told = OPERATIONS[method, path]
    names = {answer.schema for answer in told.answers.values() if answer.schema}
    if told.body is not None:
        names |= {name for name in told.body.content.values() if name}
    built = document.build(TABLE, images.image_schema(('raw', 'qcow2'), ('bare',)))['components']
    for block in blocks(sections()[section], 'json'):
        shown = json.loads(block)
        faults = []
        for name in names:
            schema = {'$ref': f'#/components/schemas/{name}', 'components': built}
            validator = jsonschema.Draft202012Validator(schema)
            faults.append(jsonschema.exceptions.best_match(validator.iter_errors(shown)))
        assert None in faults, (block, faults)
