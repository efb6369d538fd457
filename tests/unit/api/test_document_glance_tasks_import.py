# SPDX-License-Identifier: Apache-2.0
"""The specification "Glance-tasks-import" of 2013, statement by statement, in its order.

The ids in comments are rows of the list of requirements.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from taskflow import task

from glance_lite import deploy
from glance_lite.plugin.loader import PluginSet
from tests.task_failures import Source

from .conftest import Api, error

OPTIONS = (
    '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'
    '[web_download]\nretries = 0\n[task]\nswift_scheme = http\n'
)
MEMBER = 'p2:member,reader'
ETC = Path(__file__).resolve().parents[3] / 'etc'
PLACE = '/myaccount/mycontainer/path'


class Cloud:
    """A service whose conductor runs when it is told to, and an object of Swift."""

    def __init__(self, api: Api, source: Source) -> None:
        self.api, self.source = api, source
        self.url = f'swift://{source.host}{PLACE}'
        source.bodies['/v1' + PLACE] = source.bodies['/disk.qcow2']

    def body(self, **more: Any) -> dict[str, Any]:
        """Return the first request of the document."""
        given = {
            'import_from': self.url,
            'import_from_format': 'qcow2',
            'image_properties': {'name': 'GreatStack 1.22', 'tags': ['lamp', 'custom']},
        }
        return {'type': 'import', 'input': given | more}

    def post(self, **more: Any) -> str:
        """Ask for a task; return its path."""
        answer = self.api.call('POST', '/v2/tasks', self.body(**more), caller=MEMBER)
        assert answer.status_int == 201, answer.text
        return answer.headers['Location'].removeprefix('http://localhost')

    def get(self, path: str) -> dict[str, Any]:
        answer = self.api.get(path, caller=MEMBER)
        assert answer.status_int == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def run(self) -> None:
        """Let a conductor do what is to be done."""
        services = self.api.services
        deploy.load_conductor(services.conf, services).run_pending()

    def verify_with(self, execute: Callable[..., Any], provides: str | None = None) -> None:
        """Enable one import plugin, which does this."""

        def get_flow(**arguments: Any) -> task.Task:
            class Plugin(task.Task):
                default_provides = provides or ()

                def execute(self, file_path: str) -> Any:
                    return execute(file_path, **arguments)

            return Plugin('verify')

        services = self.api.services
        services.rules = dataclasses.replace(
            services.rules, plugins=PluginSet({'verify': get_flow})
        )


@pytest.fixture
def cloud(make_api: Any, tmp_path: Path) -> Iterator[Cloud]:
    # "make a Glance API endpoint public to enable end-user (not admin) upload of images"
    (tmp_path / 'policy.yaml').write_text((ETC / 'policy-tasks-for-members.yaml').read_text())
    source = Source(tmp_path)
    threading.Thread(target=source.serve_forever, args=(0.02,), daemon=True).start()
    yield Cloud(make_api(OPTIONS), source)
    source.shutdown()
    source.server_close()


def test_a_request_makes_a_task_and_says_where(cloud: Cloud) -> None:
    # POST /v2/tasks -> 201, Location, the task resource in the body
    answer = cloud.api.call('POST', '/v2/tasks', cloud.body(), caller=MEMBER)
    assert answer.status_int == 201
    assert answer.headers['Location'] == f'http://localhost/v2/tasks/{answer.json["id"]}'
    assert re.fullmatch('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', answer.json['id'])
    # the input is in the body, to tell tasks apart and to ask anew with it
    assert answer.json['input'] == cloud.body()['input']
    again = cloud.post(**answer.json['input'])
    assert cloud.get(again)['input'] == answer.json['input']
    # "An import request will adhere to the task_request schema": type and input, and no more
    wrong = {**cloud.body(), 'owner': 'somebody'}
    assert error(cloud.api.call('POST', '/v2/tasks', wrong, caller=MEMBER))[0] == 400


def test_the_input_has_three_fields_in_any_order(cloud: Cloud) -> None:
    #
    fields = cloud.body()['input']
    backwards = {'input': dict(reversed(fields.items())), 'type': 'import'}
    assert cloud.api.call('POST', '/v2/tasks', backwards, caller=MEMBER).status_int == 201
    for name in fields:
        less = {'type': 'import', 'input': {k: v for k, v in fields.items() if k != name}}
        answer = cloud.api.call('POST', '/v2/tasks', less, caller=MEMBER)
        assert answer.status_int == 400
        assert f"needs the field 'input.{name}'" in answer.json['error']['message']
    # "the json object of properties you can specify on the current image create call"
    whole = {
        'name': 'all',
        'visibility': 'private',
        'protected': True,
        'min_disk': 2,
        'min_ram': 512,
        'tags': ['t'],
        'container_format': 'bare',
        'disk_format': 'qcow2',
        'os_hidden': True,
        'architecture': 'x86_64',
    }
    path = cloud.post(image_properties=whole)
    cloud.run()
    image = cloud.get('/v2/images/' + cloud.get(path)['result']['image_id'])
    assert {name: image[name] for name in whole} == whole


def test_the_status_words_are_four_and_the_image_comes_last(cloud: Cloud) -> None:
    seen: list[tuple[str, Any, list[Any]]] = []

    def look(file_path: str, **arguments: Any) -> None:
        found = cloud.get(path)
        seen.append((found['status'], found['result'], cloud.get('/v2/images')['images']))
        assert 'expires_at' not in found

    cloud.verify_with(look)
    path = cloud.post()
    # A-10 1: create task, pending; A-08: nothing expires yet
    found = cloud.get(path)
    assert (found['status'], found['result']) == ('pending', None)
    assert 'expires_at' not in found
    cloud.run()
    # A-10 2 and 3: get the data and verify it, processing, whatever the plugin does;
    # "the user's image-list won't be clogged with images that are being imported"
    assert seen == [('processing', None, [])]
    # A-10 4 and 5: create the image, record result, status and expiration; A-05: by polling
    found = cloud.get(path)
    phases = [each['phase'] for each in found['progress']['phases']]
    order = ['confirm-claim', 'download', 'verify-staged', 'run-plugin:verify', 'activate-image']
    assert [phase for phase in phases if phase in order] == order
    assert found['status'] == 'success'


def test_a_success_has_the_uuid_and_the_image_is_there_in_the_normal_way(cloud: Cloud) -> None:
    path = cloud.post()
    cloud.run()
    found = cloud.get(path)
    # result.image_uuid, and expires_at
    image_id = found['result']['image_uuid']
    assert found['result']['image_id'] == image_id
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', found['expires_at'])
    assert found['input'] == cloud.body()['input']
    # active, with name and tags
    image = cloud.get(f'/v2/images/{image_id}')
    assert (image['status'], image['name']) == ('active', 'GreatStack 1.22')
    assert sorted(image['tags']) == ['custom', 'lamp']
    data = cloud.source.bodies['/disk.qcow2']
    assert image['os_hash_value'] == hashlib.sha512(data).hexdigest()
    # and can be moved out
    assert cloud.api.get(f'/v2/images/{image_id}/file', caller=MEMBER).body == data


def test_a_failure_tells_the_cause_and_the_url_and_leaves_nothing(cloud: Cloud) -> None:
    # "Could not retrieve image. Received 404 response for url 'swift://...'"
    url = f'swift://{cloud.source.host}/myaccount/mycontainer/nothing'
    path = cloud.post(import_from=url)
    cloud.run()
    found = cloud.get(path)
    assert found['status'] == 'failure'
    assert found['message'] == f'The source {url} answered 404 Not Found.'
    assert found['expires_at'] and found['input']['import_from'] == url
    # "we don't have to worry about what to do with the image record"
    assert cloud.get('/v2/images')['images'] == []


def test_what_is_no_image_is_refused_however_it_is_called(cloud: Cloud) -> None:
    # "you've got some bits stored elsewhere, but there's no way to know whether they are an Image"
    path = cloud.post(import_from=f'http://{cloud.source.host}/photo.jpg')
    cloud.run()
    found = cloud.get(path)
    assert (found['status'], found['error']['code']) == ('failure', 'format_mismatch')
    assert cloud.get('/v2/images')['images'] == []


def test_verification_is_pluggable(cloud: Cloud) -> None:
    #
    def verify(file_path: str, **arguments: Any) -> None:
        raise ValueError('it has a backdoor')

    cloud.verify_with(verify)
    path = cloud.post()
    cloud.run()
    found = cloud.get(path)
    assert found['message'].startswith("The plugin 'verify' failed: it has a backdoor.")
    assert found['error']['plugin'] == 'verify'


def test_conversion_has_its_place_there(cloud: Cloud) -> None:
    # "the cloud being loaded to uses images in a different format"
    def convert(file_path: str, action_wrapper: Any, **arguments: Any) -> str:
        Path(file_path.removeprefix('file://') + '.raw').write_bytes(b'converted' * 1000)
        with action_wrapper as action:
            action.set_image_attribute(disk_format='raw')
        return file_path + '.raw'

    cloud.verify_with(convert, provides='file_path')
    path = cloud.post()
    cloud.run()
    found = cloud.get(path)
    assert found['status'] == 'success', found
    image = cloud.get('/v2/images/' + found['result']['image_uuid'])
    assert (image['disk_format'], image['size']) == ('raw', 9000)
    assert found['input']['import_from_format'] == 'qcow2'


def test_no_upload_no_location_and_no_delete(cloud: Cloud) -> None:
    # "We definitely don't want to allow the current 'location' functionality"
    answer = cloud.api.call('POST', '/v2/tasks', cloud.body(location='http://x/'), caller=MEMBER)
    assert answer.status_int == 400 and "no field 'input.location'" in answer.text
    properties = {'name': 'x', 'locations': [{'url': 'http://x/', 'metadata': {}}]}
    answer = cloud.api.call(
        'POST', '/v2/tasks', cloud.body(image_properties=properties), caller=MEMBER
    )
    assert answer.status_int in (400, 403) and 'location' in answer.text
    # "No direct upload of data for this first implementation"
    path = cloud.post()
    assert cloud.api.call('PUT', path + '/file', b'data', caller=MEMBER).status_int == 404
    # "cancellation of an import task by a DELETE ...? For the first implementation, no."
    answer = cloud.api.call('DELETE', path, caller=MEMBER)
    assert (answer.status_int, answer.headers['Allow']) == (405, 'GET')


def test_several_tasks_are_told_apart(cloud: Cloud) -> None:
    # "in case the user has multiple tasks underway"
    paths = [cloud.post(image_properties={'name': name}) for name in ('one', 'two', 'three')]
    listed = cloud.get('/v2/tasks')['tasks']
    assert {each['self'] for each in listed} == set(paths)
    names = [cloud.get(path)['input']['image_properties']['name'] for path in paths]
    assert names == ['one', 'two', 'three']
    assert cloud.get('/v2/tasks?limit=2')['next']


def test_normal_use_is_not_held_up_by_an_import(cloud: Cloud) -> None:
    # the process that answers requests runs no import, and answers while one runs
    image = cloud.api.upload(b'other', disk_format='raw', container_format='bare')
    answers: list[bytes] = []
    cloud.verify_with(lambda file_path, **arguments: answers.append(_read(cloud, image)))
    cloud.post()
    cloud.run()
    assert answers == [b'other']


def _read(cloud: Cloud, image: str) -> bytes:
    found: bytes = cloud.api.get(image + '/file').body
    return found
