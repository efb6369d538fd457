# SPDX-License-Identifier: Apache-2.0
"""The client without a socket walks the whole journey of an image."""

import pytest

from glance_lite.testing import images
from glance_lite.testing.client import Client
from glance_lite.testing.trial import Trial

INJECT = {'inject_metadata_properties': {'inject': 'tier:gold'}}


@pytest.fixture
def trial(tmp_path):
    trial = Trial(tmp_path, ['inject_image_metadata'], INJECT)
    yield trial
    trial.close()


def test_an_image_is_created_staged_imported_and_read(trial, tmp_path):
    client = Client(trial)
    data = images.write_qcow2(tmp_path / 'source').read_bytes()
    created = client.request(
        'POST',
        '/v2/images',
        {
            'name': 'mine',
            'disk_format': 'qcow2',
            'container_format': 'bare',
        },
    )
    assert created.status_int == 201
    path = f"/v2/images/{created.json['id']}"
    assert client.request('PUT', f'{path}/stage', data).status_int == 204
    asked = client.request('POST', f'{path}/import', {'method': {'name': 'glance-direct'}})
    assert asked.status_int == 202
    assert client.request('GET', path).json['status'] == 'importing'
    assert client.run_imports() == 1
    image = client.request('GET', path).json
    assert (image['status'], image['tier'], image['size']) == ('active', 'gold', len(data))
    assert client.request('GET', f'{path}/file').body == data
    [task] = client.request('GET', f'{path}/tasks').json['tasks']
    assert task['status'] == 'success'


def test_uploaded_data_gets_no_injected_properties(trial, tmp_path):
    client = Client(trial)
    data = images.write_raw(tmp_path / 'source').read_bytes()
    path = (
        '/v2/images/'
        + client.request(
            'POST',
            '/v2/images',
            {
                'disk_format': 'raw',
                'container_format': 'bare',
            },
        ).json['id']
    )
    assert client.request('PUT', f'{path}/file', data).status_int == 204
    image = client.request('GET', path).json
    assert image['status'] == 'active' and 'tier' not in image
    assert client.run_imports() == 0


def test_two_users_of_one_service_are_kept_apart(trial):
    mine = Client(trial).request('POST', '/v2/images', {'visibility': 'private'}).json['id']
    other = Client(trial, project_id='another', user_id='another')
    assert other.request('GET', f'/v2/images/{mine}').status_int == 404
