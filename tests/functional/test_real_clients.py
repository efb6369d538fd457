# SPDX-License-Identifier: Apache-2.0
"""The clients that users have, unchanged, where nobody asks for a token.

``test_tour.py`` has all that they do, with Keystone.
"""

import hashlib
import json
import os

import openstack
import pytest

from glance_lite.testing import images as samples
from tests.functional.service import LOCAL_SOURCES, service
from tests.functional.sources import source

DATA = os.urandom(3_000_000)
SHA512 = hashlib.sha512(DATA).hexdigest()


@pytest.fixture(scope='module')
def api(tmp_path_factory):
    with service(tmp_path_factory.mktemp('clients'), extra=LOCAL_SOURCES) as found:
        yield found


@pytest.fixture(scope='module')
def disk(tmp_path_factory):
    path = tmp_path_factory.mktemp('disk') / 'disk.raw'
    path.write_bytes(DATA)
    return path


@pytest.fixture
def cloud(api):
    with openstack.connect(auth_type='none', endpoint=api.url) as connection:
        yield connection


def check_download(api, image_id, tmp_path):
    path = tmp_path / 'download'
    api.openstack('image', 'save', '--file', str(path), image_id)
    assert hashlib.sha512(path.read_bytes()).hexdigest() == SHA512


def by_name(api, name):
    found = api.request('GET', f'/v2/images?name={name}').json()['images']
    assert len(found) == 1
    return found[0]


def test_openstack_image_create_uploads_a_file(api, disk, tmp_path):
    made = api.openstack(
        'image',
        'create',
        '--file',
        str(disk),
        '--disk-format',
        'raw',
        '--property',
        'os=x',
        '--tag',
        'one',
        '-f',
        'json',
        'osc-file',
    )
    image = api.image(made['id'])
    assert (image['status'], image['os'], image['tags']) == ('active', 'x', ['one'])
    assert image['os_hash_value'] == SHA512
    check_download(api, made['id'], tmp_path)


def test_openstack_image_create_imports_a_file(api, disk, tmp_path):
    made = api.openstack(
        'image',
        'create',
        '--import',
        '--file',
        str(disk),
        '--disk-format',
        'raw',
        '-f',
        'json',
        'osc-import',
    )
    task = api.wait(made['id'])
    assert task['status'] == 'success' and task['input']['import_req']['method'] == {
        'name': 'glance-direct'
    }
    assert api.image(made['id'])['status'] == 'active'
    check_download(api, made['id'], tmp_path)


def test_openstack_image_import_of_a_url(api, tmp_path):
    image_id = api.create(name='osc-web')
    with source(DATA) as web:
        api.openstack(
            'image', 'import', '--method', 'web-download', '--uri', web.url + '/disk', image_id
        )
        assert api.wait(image_id)['status'] == 'success'
    check_download(api, image_id, tmp_path)


def test_openstack_shows_the_reason_of_a_refusal(api):
    image_id = api.create(name='osc-refused')
    done = api.cli('openstack', 'image', 'import', '--method', 'glance-direct', image_id)
    assert done.returncode != 0
    done = api.cli(
        'openstack',
        'image',
        'import',
        '--method',
        'web-download',
        '--uri',
        'http://10.0.0.1/x',
        image_id,
    )
    refused = api.post_import(image_id, 'web-download', method={'uri': 'http://10.0.0.1/x'})
    assert refused.status_code == 400 and 'permitted_networks' in refused.text
    info = json.dumps(api.openstack('image', 'import', 'info', '-f', 'json'))
    assert 'glance-direct' in info and 'web-download' in info


def test_glance_image_create_via_import_of_a_file(api, disk, tmp_path):
    api.glance(
        'image-create-via-import',
        '--import-method',
        'glance-direct',
        '--file',
        str(disk),
        '--disk-format',
        'raw',
        '--container-format',
        'bare',
        '--name',
        'gc-direct',
    )
    image = by_name(api, 'gc-direct')
    assert api.wait(image['id'])['status'] == 'success'
    check_download(api, image['id'], tmp_path)


def test_openstacksdk_imports_staged_data(api, cloud):
    image = cloud.image.create_image(
        'sdk-direct',
        disk_format='raw',
        container_format='bare',
        use_import=True,
        data=DATA,
        wait=True,
        timeout=60,
    )
    assert api.wait(image.id)['status'] == 'success'
    found = cloud.image.get_image(image.id)
    assert found.status == 'active' and found.hash_value == SHA512
    assert hashlib.sha512(cloud.image.download_image(found).content).hexdigest() == SHA512


def test_a_real_disk_image_is_known_for_what_it_is(api, tmp_path):
    path = tmp_path / 'disk.qcow2'
    samples.write_qcow2(path)
    done = api.cli('glance-lite', 'import', str(path), '--name', 'kit', '--json')
    assert done.returncode == 0, done.stderr
    image = json.loads(done.stdout)['image']
    assert (image['status'], image['disk_format']) == ('active', 'qcow2')
    assert image['virtual_size'] > 0
