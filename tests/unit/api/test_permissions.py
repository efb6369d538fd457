# SPDX-License-Identifier: Apache-2.0
"""Every cell of the table of permissions, asked over HTTP by callers as Keystone describes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import webob

from glance_lite import deploy
from glance_lite.db import images, members
from glance_lite.domain import image as domain
from glance_lite.middleware.identity import identify_by_keystone
from tests import permissions
from tests.permissions import CALLERS, CALLS, PERSONAS, Call, Persona

from .conftest import FORMATS, OCTETS, PATCH

#: For calls that need several rules: what the others are is no matter here.
MANAGER = Persona('', '', permissions.OWNER, ('admin', 'member', 'reader'))


class Cloud:
    """An application that knows its callers from what the token check leaves in the headers."""

    def __init__(self, conf: Any) -> None:
        self.services = deploy.build_services(conf)
        self.app = deploy.loadapp(conf, self.services, identify_by_keystone(allow_anonymous=True))

    def ask(self, who: Persona, method: str, path: str, body: Any = None) -> webob.Response:
        request = webob.Request.blank(path, method=method)
        if body is not None:
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        is_data = isinstance(body, bytes)
        request.content_type = OCTETS if is_data else PATCH if method == 'PATCH' else None
        if who.project is not None:
            request.headers.update(
                {
                    'X-Identity-Status': 'Confirmed',
                    'X-Project-Id': who.project,
                    'X-User-Id': f'user-{who.name}',
                    'X-Roles': ','.join(who.roles),
                }
            )
        return request.get_response(self.app)

    def make(self, visibility: str, state: str) -> str:
        """Make an image of the owning project, shared as far as it can be; return its path."""
        answer = self.ask(MANAGER, 'POST', '/v2/images', {**FORMATS, 'visibility': visibility})
        image_id = answer.json['id']
        path = f'/v2/images/{image_id}'
        with self.services.db.writer() as session:
            members.insert(session, image_id, permissions.SHARING)
        self._ask_all(
            path,
            {
                'queued': [],
                'uploading': [('PUT', '/stage', b'data')],
                'importing': [
                    ('PUT', '/stage', b'data'),
                    ('POST', '/import', {'method': {'name': 'glance-direct'}}),
                ],
                'active': [('PUT', '/tags/blue', None), ('PUT', '/file', b'data')],
                'copied': [('PUT', '/file', b'data')],
                'located': [('PUT', '/file', b'data')],
                'deactivated': [('PUT', '/file', b'data'), ('POST', '/actions/deactivate', None)],
            }[state],
        )
        if state in ('copied', 'located'):
            change = images.add_locations if state == 'copied' else images.set_locations
            with self.services.db.writer() as session:
                change(session, image_id, [domain.Location('cold', 'file:///nowhere')])
        return path

    def make_task(self) -> str:
        """Begin a task of the owning project; return its id."""
        answer = self.ask(MANAGER, 'POST', '/v2/tasks', permissions.NEW_TASK)
        return str(answer.json['id'])

    def _ask_all(self, path: str, calls: list[tuple[str, str, Any]]) -> None:
        for method, rest, body in calls:
            assert self.ask(MANAGER, method, path + rest, body).status_int in (202, 204)

    def state(self, path: str) -> tuple[Any, ...]:
        """Return what a caller who is refused must not have changed."""
        with self.services.db.reader() as session:
            sharing = members.list_all(session, path.rpartition('/')[2])
        return sharing, *(self.ask(MANAGER, 'GET', path + part).json for part in ('', '/tasks'))


@pytest.fixture
def cloud(make_conf: Callable[..., Any]) -> Iterator[Cloud]:
    extra = (
        '[DEFAULT]\nshow_multiple_locations = True\n'
        '[import_filtering_opts]\npermitted_networks = 203.0.113.0/24\n'
    )
    made = Cloud(make_conf(extra, stores='fast:file, cold:file, web:http'))
    yield made
    made.services.db.dispose()


def outcome(answer: webob.Response, field: str = '') -> str:
    if 200 <= answer.status_int < 300:
        return permissions.HIDDEN if field and field not in answer.json else permissions.YES
    error = answer.json['error']
    assert (answer.status_int, error['code']) in (
        (403, 'forbidden'),
        (404, 'image_not_found'),
        (404, 'member_not_found'),
    ), answer.body
    return str(answer.status_int)[-1]


def observe(cloud: Cloud, call: Call, visibility: str) -> str:
    """Return what each persona gets; make a new image after each change."""
    found, path = '', cloud.make(visibility, call.state)
    before = cloud.state(path)
    for persona in PERSONAS:
        target = (call.path + call.query).format(
            image_id=path.rpartition('/')[2],
            member_id=permissions.SHARING,
            store_id='cold',
            value='blue',
        )
        answer = cloud.ask(persona, call.method, target, call.body)
        found += outcome(answer, call.field)
        if found[-1] != permissions.YES:
            assert cloud.state(path) == before, (persona.name, answer.body)
        elif call.method != 'GET':
            path = cloud.make(visibility, call.state)
            before = cloud.state(path)
    return found


@pytest.mark.parametrize(
    'call', [call for call in CALLS if isinstance(call.expected, dict)], ids=lambda call: call.title
)
def test_what_callers_may_do_with_an_image(cloud: Cloud, call: Call) -> None:
    assert isinstance(call.expected, dict)
    assert {
        visibility: observe(cloud, call, visibility) for visibility in call.expected
    } == call.expected


@pytest.mark.parametrize(
    'call', [call for call in CALLS if isinstance(call.expected, str)], ids=lambda call: call.title
)
def test_what_callers_may_do_without_an_image(cloud: Cloud, call: Call) -> None:
    path = call.path.format(task_id=cloud.make_task()) + call.query
    asked = [cloud.ask(who, call.method, path, call.body) for who in CALLERS]
    assert ''.join(map(outcome, asked)) == call.expected


@pytest.mark.parametrize('visibility', permissions.SEE)
def test_what_is_listed_is_what_can_be_shown(cloud: Cloud, visibility: str) -> None:
    path = cloud.make(visibility, 'queued')
    for persona, seen in zip(PERSONAS, permissions.SEE[visibility], strict=True):
        query = f'?visibility={visibility}&member_status=all'
        answer = cloud.ask(persona, 'GET', '/v2/images' + query)
        if answer.status_int == 403:
            assert seen == permissions.NOT_THERE and persona.name in ('no role', 'service')
            continue
        listed = [f"/v2/images/{image['id']}" for image in answer.json['images']]
        assert (path in listed) == (seen == permissions.YES), persona.name


def test_the_page_shows_this_table() -> None:
    assert permissions.PAGE.read_text() == permissions.render(), 'run: python -m tests.permissions'
