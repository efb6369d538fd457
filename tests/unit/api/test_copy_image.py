# SPDX-License-Identifier: Apache-2.0
"""Asking for copies of an active image: who may, to which stores, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from glance_lite import deploy
from glance_lite.db import images
from glance_lite.domain import image as domain

from .conftest import FORMATS, Api, error

COPY = {'method': {'name': 'copy-image'}}
TO_COLD = {**COPY, 'stores': ['cold']}


def run(api: Api) -> int:
    return deploy.load_conductor(api.services.conf, api.services).run_pending()


def tasks(api: Api, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(path + '/tasks').json['tasks']
    return found


def test_an_administrator_copies_an_image_to_more_stores(api: Api) -> None:
    path = api.upload(b'abc' * 1000)
    answer = api.call('POST', path + '/import', TO_COLD)
    assert (answer.status_int, answer.body) == (202, b'')
    image = api.get(path).json
    assert (image['status'], image['stores']) == ('active', 'fast')
    assert image['os_glance_importing_to_stores'] == 'cold'
    assert image['os_glance_import_task'] == answer.headers['OpenStack-image-import-task-id']
    assert api.get(path + '/file').body == b'abc' * 1000
    [task] = tasks(api, path)
    assert task['input']['backend'] == ['cold'] and task['status'] == 'pending'
    assert run(api) == 1
    image = api.get(path).json
    assert (image['status'], image['stores']) == ('active', 'fast,cold')
    assert not [name for name in image if name.startswith('os_glance')]
    assert api.get(path + '/file?prefer=cold').body == b'abc' * 1000


@pytest.mark.parametrize(
    ('caller', 'visibility', 'expected'),
    [
        ('p1:member,reader', 'private', (403, 'forbidden')),
        ('p2:member,reader', 'private', (404, 'image_not_found')),
        ('p2:member,reader', 'public', (403, 'forbidden')),
        ('p2:member,reader', 'community', (403, 'forbidden')),
        ('p1:reader', 'shared', (403, 'forbidden')),
    ],
)
def test_others_do_not_even_if_they_own_it(
    api: Api, caller: str, visibility: str, expected: tuple[int, str]
) -> None:
    path = api.upload(visibility=visibility, owner='p1')
    assert error(api.call('POST', path + '/import', TO_COLD, caller=caller)) == expected
    assert tasks(api, path) == []


def test_the_rule_decides(make_api: Any, tmp_path: Any) -> None:
    (tmp_path / 'policy.yaml').write_text('"copy_image": "role:member and project_id:%(owner)s"')
    api = make_api()
    path = api.upload(owner='p1')
    assert api.call('POST', path + '/import', TO_COLD, caller='p1:member,reader').status_int == 202
    run(api)
    assert api.get(path).json['stores'] == 'fast,cold'


def test_only_active_images_have_data_to_copy(api: Api) -> None:
    deactivated = api.upload()
    api.call('POST', deactivated + '/actions/deactivate')
    for path in (api.create(**FORMATS), api.stage(), deactivated):
        assert error(api.call('POST', path + '/import', TO_COLD)) == (409, 'status_conflict')
        assert tasks(api, path) == []


def test_stores_that_have_it(api: Api) -> None:
    path = api.upload()
    for body in ({**COPY, 'stores': ['fast']}, {**COPY, 'stores': ['cold', 'fast']}, COPY):
        answer = api.call('POST', path + '/import', body)
        assert error(answer) == (400, 'invalid_request')
        assert 'store fast already' in answer.json['error']['message']
    answer = api.call('POST', path + '/import', {**COPY, 'stores': ['nope']})
    assert error(answer) == (409, 'conflict')
    assert tasks(api, path) == []
    answer = api.call('POST', path + '/import', {**COPY, 'all_stores': True})
    assert answer.status_int == 202
    [task] = tasks(api, path)
    assert task['input']['backend'] == ['cold']
    run(api)
    answer = api.call('POST', path + '/import', {**COPY, 'all_stores': True})
    assert (answer.status_int, answer.body) == (202, b'')
    assert 'OpenStack-image-import-task-id' not in answer.headers
    assert len(tasks(api, path)) == 1 and run(api) == 0


def test_one_copy_at_a_time(api: Api) -> None:
    path = api.upload()
    api.call('POST', path + '/import', TO_COLD)
    answer = api.call('POST', path + '/import', TO_COLD)
    assert error(answer) == (409, 'import_running')
    assert 'seconds ago' in answer.json['error']['message']
    assert run(api) == 1
    assert error(api.call('POST', path + '/import', TO_COLD)) == (400, 'invalid_request')


def test_a_copy_can_be_cancelled(api: Api) -> None:
    path = api.upload()
    asked = api.call('POST', path + '/import', TO_COLD)
    answer = api.call('POST', path + '/actions/cancel_import')
    task_id = asked.headers['OpenStack-image-import-task-id']
    assert answer.status_int == 202
    assert answer.headers['OpenStack-image-import-task-id'] == task_id
    run(api)
    image = api.get(path).json
    assert (image['status'], image['stores']) == ('active', 'fast')
    assert image['os_glance_import_error'].startswith('cancelled: ')
    assert image['os_glance_failed_import'] == 'cold'
    assert error(api.call('POST', path + '/actions/cancel_import')) == (409, 'conflict')
    assert api.call('POST', path + '/import', TO_COLD).status_int == 202
    assert 'os_glance_import_error' not in api.get(path).json


def test_deleting_the_image_cancels_its_copy(api: Api) -> None:
    path = api.upload()
    api.call('POST', path + '/import', TO_COLD)
    assert api.call('DELETE', path).status_int == 204
    assert run(api) == 1
    assert (api.stored_files(), api.staged_files()) == ([], [])


def test_a_store_that_got_the_data_meanwhile_is_not_written_again(api: Api) -> None:
    """Between the look at the image and the claim of it another copy begins and ends."""
    from glance_lite import exceptions
    from glance_lite.context import RequestContext
    from glance_lite.domain import import_request
    from glance_lite.image_import import start

    path = api.upload()
    with api.services.db.writer() as session:
        image = images.get(session, path.rpartition('/')[2])
        place = domain.Location('cold', 'file:///somewhere')
        images.add_locations(session, image.image_id, [place])
    wanted = import_request.parse(TO_COLD, ['copy-image'])
    with pytest.raises(exceptions.StatusConflict):
        start.start_import(
            api.services, RequestContext(project_id='p1'), image, wanted, ('cold',), TO_COLD
        )
    assert tasks(api, path) == []
    assert 'os_glance_import_task' not in api.get(path).json
