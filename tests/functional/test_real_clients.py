# SPDX-License-Identifier: Apache-2.0
"""The clients that users have, unchanged: openstack, glance and openstacksdk."""

import hashlib
import json
import os
import pty
import subprocess

import openstack
import pytest

from glance_lite.testing import images as samples
from tests.functional.processes import program
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


def glance(api, *args):
    """Run ``glance`` with a terminal as its standard input: else it takes that for image data."""
    terminal, end = pty.openpty()
    try:
        done = subprocess.run(
            [program('glance'), '--os-image-url', api.url, '--os-auth-token', 'x', *args],
            stdin=end,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={'PATH': os.environ['PATH'], 'HOME': str(api.folder)},
        )
    finally:
        os.close(terminal)
        os.close(end)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_openstack_image_lists_shows_sets_and_deletes(api):
    made = api.openstack('image', 'create', '--disk-format', 'raw', '-f', 'json', 'osc-plain')
    assert 'osc-plain' in [i['Name'] for i in api.openstack('image', 'list', '-f', 'json')]
    api.openstack(
        'image', 'set', '--property', 'a=b', '--name', 'osc-new', '--tag', 't', made['id']
    )
    shown = api.openstack('image', 'show', '-f', 'json', 'osc-new')
    assert shown['properties']['a'] == 'b' and shown['tags'] == ['t']
    api.openstack('image', 'unset', '--property', 'a', 'osc-new')
    assert 'a' not in api.image(made['id'])
    api.openstack('image', 'delete', 'osc-new')
    assert api.request('GET', f"/v2/images/{made['id']}").status_code == 404


def test_openstack_deactivates_an_image_and_activates_it_again(api):
    image_id = api.create(name='osc-off')
    assert api.put(image_id, DATA, 'file').status_code == 204
    api.openstack('image', 'set', '--deactivate', '--tag', 'one', image_id)
    shown = api.image(image_id)
    assert (shown['status'], shown['tags']) == ('deactivated', ['one'])
    api.openstack('image', 'set', '--activate', image_id)
    assert api.image(image_id)['status'] == 'active'
    api.openstack('image', 'unset', '--tag', 'one', image_id)
    assert api.image(image_id)['tags'] == []


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
    glance(
        api,
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


def test_glance_image_create_via_import_of_a_url(api, tmp_path):
    with source(DATA) as web:
        glance(
            api,
            'image-create-via-import',
            '--import-method',
            'web-download',
            '--uri',
            web.url + '/disk',
            '--disk-format',
            'raw',
            '--container-format',
            'bare',
            '--name',
            'gc-web',
        )
        image = by_name(api, 'gc-web')
        assert api.wait(image['id'])['status'] == 'success'
    check_download(api, image['id'], tmp_path)


def test_glance_lists_tasks_stores_and_methods(api):
    assert 'fast' in glance(api, 'stores-info')
    assert 'web-download' in glance(api, 'import-info')
    image_id = api.create(name='gc-tasks')
    api.put(image_id, DATA)
    api.post_import(image_id)
    api.wait(image_id)
    assert 'success' in glance(api, 'image-tasks', image_id)
    assert 'gc-tasks' in glance(api, 'image-list')


def test_glance_shares_tags_and_deactivates(api):
    image_id = api.create(name='gc-shared')
    assert 'pending' in glance(api, 'member-create', image_id, 'p2')
    assert 'accepted' in glance(api, 'member-update', image_id, 'p2', 'accepted')
    assert 'accepted' in glance(api, 'member-get', image_id, 'p2')
    assert 'p2' in glance(api, 'member-list', '--image-id', image_id)
    glance(api, 'member-delete', image_id, 'p2')
    assert 'p2' not in glance(api, 'member-list', '--image-id', image_id)
    glance(api, 'image-tag-update', image_id, 'a tag')
    assert api.image(image_id)['tags'] == ['a tag']
    glance(api, 'image-tag-delete', image_id, 'a tag')
    assert api.put(image_id, DATA, 'file').status_code == 204
    glance(api, 'image-deactivate', image_id)
    assert api.image(image_id)['status'] == 'deactivated'
    glance(api, 'image-reactivate', image_id)
    shown = api.image(image_id)
    assert (shown['status'], shown['tags']) == ('active', [])


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


def test_openstacksdk_imports_a_url(api, cloud):
    image = cloud.image.create_image('sdk-web', disk_format='raw', container_format='bare')
    with source(DATA) as web:
        cloud.image.import_image(image, method='web-download', uri=web.url + '/disk')
        assert api.wait(image.id)['status'] == 'success'
    found = cloud.image.get_image(image.id)
    assert found.status == 'active' and found.hash_value == SHA512
    assert hashlib.sha512(cloud.image.download_image(found).content).hexdigest() == SHA512


def test_openstacksdk_uploads_updates_and_deletes(api, cloud):
    image = cloud.image.create_image(
        'sdk-file', disk_format='raw', container_format='bare', data=DATA, validate_checksum=True
    )
    cloud.image.update_image(image, name='sdk-new', hw_disk_bus='scsi')
    cloud.image.deactivate_image(image)
    assert api.image(image.id)['status'] == 'deactivated'
    cloud.image.reactivate_image(image)
    cloud.image.add_tag(image, 'one')
    assert api.image(image.id)['tags'] == ['one']
    cloud.image.remove_tag(image, 'one')
    member = cloud.image.add_member(image, member_id='p2')
    assert cloud.image.update_member(member, image, status='accepted').status == 'accepted'
    assert [each.member_id for each in cloud.image.members(image)] == ['p2']
    cloud.image.remove_member(member, image)
    assert list(cloud.image.members(image)) == []
    found = cloud.image.find_image('sdk-new')
    assert (found.id, found.hw_disk_bus, found.status) == (image.id, 'scsi', 'active')
    assert image.id in [each.id for each in cloud.image.images(limit=2)]
    cloud.image.delete_image(found)
    assert cloud.image.find_image('sdk-new') is None


def test_a_real_disk_image_is_known_for_what_it_is(api, tmp_path):
    path = tmp_path / 'disk.qcow2'
    samples.write_qcow2(path)
    done = api.cli('glance-lite', 'import', str(path), '--name', 'kit', '--json')
    assert done.returncode == 0, done.stderr
    image = json.loads(done.stdout)['image']
    assert (image['status'], image['disk_format']) == ('active', 'qcow2')
    assert image['virtual_size'] > 0
