# SPDX-License-Identifier: Apache-2.0
"""The article "Getting started with Tasks API in Glance", statement by statement, with real curl.

The ids in comments are rows of the list of requirements.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests import services
from tests.functional.service import LOCAL_SOURCES, Service, service
from tests.task_failures import Source

#: As printed, but that "-X POST" and the URL follow.
PRINTED = """\
curl -g -i \\
-H ‘Accept-Encoding: gzip, deflate’ \\
-H ‘Accept: */*’ \\
-H ‘User-Agent: python-glanceclient’ \\
-H ‘Connection: keep-alive’ \\
-H ‘X-Auth-Token:   709d7c24021d4366b8c3df04ce44e3e6’ \\
-H ‘Content-Type: application/json’ \\
-d ‘{“type”: “import”, “input”: {“import_from”: “https://launchpad.net/cirros/trunk/0.3.0/+download/cirros-0.3.0-x86_64-disk.img”, “import_from_format”: “raw”, “image_properties” : {“name”: “test-conversion-1”, “container_format”: “bare”}}}’ \\
-X POST http://10.0.2.15:9292/v2/tasks
"""  # noqa: E501, RUF001
PATH = '/cirros/trunk/0.3.0/+download/cirros-0.3.0-x86_64-disk.img'
STRAIGHT = str.maketrans('‘’“”', '\'\'""')  # noqa: RUF001


class Reader:
    """Somebody who reads the article beside a service, its files and a terminal."""

    def __init__(self, found: Service, source: Source) -> None:
        self.service, self.source = found, source
        source.bodies[PATH] = source.bodies['/disk.qcow2']

    def curl(self, command: str) -> tuple[int, dict[str, str], str]:
        """Run a command with the hosts of this run; return status, headers and body."""
        command = command.replace('http://10.0.2.15:9292', self.service.url)
        command = command.replace('https://launchpad.net', f'http://{self.source.host}')
        done = subprocess.run(
            ['bash', '-c', command], capture_output=True, text=True, timeout=60, check=True
        )
        head, _, body = done.stdout.replace('\r\n', '\n').partition('\n\n')
        first, *lines = head.splitlines()
        headers = dict(line.lower().split(': ', 1) for line in lines)
        return int(first.split()[1]), headers, body

    def post(self, path: str, disk_format: str, **more: Any) -> dict[str, Any]:
        """Ask for a task, and wait for its end."""
        body = {
            'type': 'import',
            'input': {
                'import_from': f'http://{self.source.host}{path}',
                'import_from_format': disk_format,
                'image_properties': {'name': path},
            },
        }
        answer = self.service.request('POST', '/v2/tasks', json=body | more)
        assert answer.status_code == 201, answer.text
        return self.end_of(answer.json()['id'])

    def end_of(self, task_id: str) -> dict[str, Any]:
        """Return a task when it is final."""
        for _ in range(60):
            answer = self.service.request('GET', f'/v2/tasks/{task_id}?wait=5')
            found: dict[str, Any] = answer.json()
            if found['status'] in ('success', 'failure'):
                return found
        raise AssertionError(f'{found} does not end')

    def names(self) -> list[str]:
        """Return the names in the list of images."""
        return [each['name'] for each in self.service.request('GET', '/v2/images').json()['images']]


@pytest.fixture(scope='module')
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if not shutil.which('curl'):
        services.missing('No curl here: apt install curl')
    folder = tmp_path_factory.mktemp('article')
    source = Source(folder)
    threading.Thread(target=source.serve_forever, args=(0.05,), daemon=True).start()
    with service(folder, extra=LOCAL_SOURCES) as found:
        yield Reader(found, source)
    source.gate.set()
    source.shutdown()
    source.server_close()


def test_a_photo_is_no_image_and_somebody_tells_the_user(reader: Reader) -> None:
    # "someone might want to upload a JPEG but from JPEG one cannot boot a VM"
    task = reader.post('/photo.jpg', 'qcow2')
    # "a way to deliver meaningful helpful error messages"
    assert 'declared as qcow2, but its content is of format raw' in task['message']
    assert f'http://{reader.source.host}/photo.jpg' in task['message']
    # "some cover for the image i.e message that your image is killed": later, too
    listed = reader.service.request('GET', '/v2/tasks?status=failure').json()['tasks']
    assert task['id'] in [each['id'] for each in listed]
    # "do we really want to create an image which is actually not an image?"
    assert '/photo.jpg' not in reader.names()


def test_an_image_that_attacks_the_hypervisor_is_refused(reader: Reader) -> None:
    task = reader.post('/backed.qcow2', 'qcow2')
    assert task['error']['code'] == 'unsafe_image' and 'backing' in task['message']
    assert '/backed.qcow2' not in reader.names()


def test_slow_things_tie_nothing_up(reader: Reader) -> None:
    # "lots of slow long running uploads can tie up the image service"
    body = {
        'import_from': f'http://{reader.source.host}/stops',
        'import_from_format': 'raw',
        'image_properties': {'name': 'slow'},
    }
    slow = reader.service.request(
        'POST', '/v2/tasks', json={'type': 'import', 'input': body}
    ).json()
    assert reader.source.asked.wait(60)
    assert reader.post('/disk.raw', 'raw')['status'] == 'success'
    found = reader.service.request('GET', f'/v2/tasks/{slow["id"]}').json()
    assert found['status'] in ('pending', 'processing')
    reader.service.request('POST', f'/v2/tasks/{slow["id"]}/actions/cancel')
    assert reader.end_of(slow['id'])['error']['code'] == 'cancelled'


def test_the_api_is_common_and_says_what_a_task_is(reader: Reader) -> None:
    # "an interface that is common across OpenStack installations"
    schema = reader.service.request('GET', '/v2/schemas/task').json()
    assert {'id', 'type', 'status', 'input', 'result', 'message', 'expires_at'} <= set(
        schema['properties']
    )
    assert schema['properties']['status']['enum'] == [
        'pending',
        'processing',
        'success',
        'failure',
    ]


def test_when_a_task_expires_is_not_for_the_user_to_say(reader: Reader) -> None:
    # "once it reaches the final state getting expire at tag and is not configurable"
    task = reader.post('/disk.raw', 'raw')
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', task['expires_at'])
    body = {'type': 'import', 'input': task['input'], 'expires_at': '2036-01-01T00:00:00Z'}
    answer = reader.service.request('POST', '/v2/tasks', json=body)
    assert answer.status_code == 400 and "no field 'expires_at'" in answer.text


def test_the_debug_output_of_glance_has_a_curl_line_that_works(reader: Reader) -> None:
    # "the fastest way to get a curl command"; the client of today speaks v2
    done = reader.service.cli(
        'glance',
        '--os-image-url',
        reader.service.url,
        '--os-auth-token',
        'x',
        '--debug',
        'image-list',
    )
    lines = re.findall(r'^curl .* (\S+/v2/images\S*)$', done.stderr + done.stdout, re.MULTILINE)
    assert lines, done.stderr
    assert reader.curl(f"curl -g -i '{lines[0]}'")[0] == 200
    # the line that is printed
    printed = 'http://10.0.2.15:9292/v1/images/detail?sort_key=name&sort_dir=asc&limit=20'
    image_id = reader.service.create(name='listed')
    status, _, body = reader.curl(f"curl -g -i '{printed}'")
    assert status == 200 and image_id in [each['id'] for each in json.loads(body)['images']]


def test_the_curl_line_works_as_printed_but_for_host_token_and_quotes(reader: Reader) -> None:
    # a qcow2 that is called raw is taken for the bytes that it is
    status, headers, body = reader.curl(PRINTED.translate(STRAIGHT))
    made = json.loads(body)
    assert status == 201 and headers['location'] == f'{reader.service.url}/v2/tasks/{made["id"]}'
    task = reader.end_of(made['id'])
    assert task['status'] == 'success', task
    image = reader.service.image(task['result']['image_id'])
    assert (image['name'], image['disk_format'], image['container_format'], image['status']) == (
        'test-conversion-1',
        'raw',
        'bare',
        'active',
    )
    # "End users may want to download images to move them to another cloud"
    data = reader.service.request('GET', f'/v2/images/{image["id"]}/file').content
    assert data == reader.source.bodies[PATH]


def test_with_the_printed_quotes_it_is_told_what_is_wrong(reader: Reader) -> None:
    # the shell is given straight quotes for itself, and the JSON keeps its own
    only_outer = PRINTED.replace('‘', "'").replace('’', "'")  # noqa: RUF001
    status, _, body = reader.curl(only_outer)
    message = json.loads(body)['error']['message']
    assert status == 400 and 'typographic quotes' in message
    assert '{"type": "import", "input": {"import_from": ' in message
    # "replace octet stream by json because tasks API uses json schema": JSON is taken for it
    for header in ("-H 'Content-Type: application/octet-stream' \\\n", ''):
        printed = "-H 'Content-Type: application/json' \\\n"
        status, _, body = reader.curl(PRINTED.translate(STRAIGHT).replace(printed, header))
        assert status == 201, body
