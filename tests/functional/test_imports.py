# SPDX-License-Identifier: Apache-2.0
"""Imports end to end, over HTTP and in real processes, on each kind of database."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import services
from tests.functional.processes import wait_for
from tests.functional.service import LOCAL_SOURCES, service
from tests.functional.sources import source

DATA = os.urandom(5_000_000)
SHA512 = hashlib.sha512(DATA).hexdigest()
INJECT = (
    '[image_import_opts]\nimage_import_plugins = [no_op, inject_image_metadata]\n'
    '[inject_metadata_properties]\n'
    'inject = "approved_by":"operations, team: one","hw_disk_bus":"virtio"\n'
)


@pytest.fixture(scope='module', params=services.KINDS)
def api(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with services.database(request.param, str(folder)) as url:
        extra = INJECT + 'ignore_user_roles = nobody\n' + LOCAL_SOURCES
        with service(folder, url, extra + '[web_download]\nretries = 1\n') as found:
            yield found


@pytest.fixture(scope='module')
def web():
    with source(DATA) as found:
        yield found


def assert_clean(api, *image_ids):
    assert api.files('staging') == []
    assert [name.split('.')[0] for name in api.files('fast')] == sorted(image_ids)


def remove(api, image_id):
    assert api.request('DELETE', f'/v2/images/{image_id}').status_code == 204
    assert_clean(api)


def test_glance_direct(api):
    image_id = api.create()
    assert api.put(image_id, DATA).status_code == 204
    answer = api.post_import(image_id)
    assert answer.status_code == 202 and answer.content == b''
    assert api.image(image_id)['status'] in ('importing', 'active')
    task_id = answer.headers['OpenStack-image-import-task-id']
    tasks = api.request('GET', answer.headers['Location'].removeprefix(api.url)).json()['tasks']
    assert [task['id'] for task in tasks] == [task_id]
    task = api.wait(image_id)
    assert task['status'] == 'success', task['message']
    image = api.image(image_id)
    assert (image['status'], image['size'], image['os_hash_value']) == ('active', len(DATA), SHA512)
    assert (image['approved_by'], image['hw_disk_bus']) == ('operations, team: one', 'virtio')
    assert api.sha512(image_id) == SHA512
    assert_clean(api, image_id)
    remove(api, image_id)


def test_web_download_with_its_hash(api, web):
    image_id = api.create()
    check = {'os_hash_algo': 'sha256', 'os_hash_value': hashlib.sha256(DATA).hexdigest()}
    answer = api.post_import(
        image_id, 'web-download', method={'uri': web.url + '/disk', 'validation_data': check}
    )
    assert answer.status_code == 202, answer.text
    assert api.wait(image_id)['status'] == 'success'
    assert api.sha512(image_id) == SHA512
    remove(api, image_id)


@pytest.mark.parametrize(
    ('path', 'code', 'words'),
    [
        ('/missing', 'source_http_error', '404'),
        ('/short', 'source_truncated', 'source'),
        ('/to-metadata', 'filtered_uri', '169.254'),
    ],
)
def test_a_bad_source_fails_with_its_reason_and_may_be_tried_again(api, web, path, code, words):
    image_id = api.create()
    assert (
        api.post_import(image_id, 'web-download', method={'uri': web.url + path}).status_code == 202
    )
    task = api.wait(image_id)
    assert (task['status'], task['error']['code']) == ('failure', code)
    assert words in task['message'] and 'secret' not in task['message']
    assert task['error']['phase'] == 'download' and task['error']['request_id'].startswith('req-')
    image = api.image(image_id)
    assert (image['status'], image['size']) == ('queued', None)
    assert image['os_glance_import_error'] == f"{code}: {task['message']}"
    assert_clean(api)
    api.post_import(image_id, 'web-download', method={'uri': web.url + '/disk'})
    assert api.wait(image_id)['status'] == 'success'
    assert 'os_glance_import_error' not in api.image(image_id)
    remove(api, image_id)


def test_all_stores(api):
    image_id = api.create()
    api.put(image_id, DATA)
    assert api.post_import(image_id, all_stores=True).status_code == 202
    assert api.wait(image_id)['status'] == 'success'
    assert set(api.image(image_id)['stores'].split(',')) == {'fast', 'cold'}
    assert len(api.files('cold')) == 1
    remove(api, image_id)
    assert api.files('cold') == []


def test_of_two_imports_at_once_one_is_told_of_the_other(api, web):
    for _ in range(5):
        image_id = api.create()
        source_of = {'uri': web.url + '/disk'}
        with ThreadPoolExecutor(2) as pool:
            posts = [
                pool.submit(api.post_import, image_id, 'web-download', method=source_of)
                for _ in range(2)
            ]
            answers = [post.result() for post in posts]
        assert sorted(answer.status_code for answer in answers) == [202, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        taken = next(answer for answer in answers if answer.status_code == 202)
        task_id = taken.headers['OpenStack-image-import-task-id']
        assert f'task {task_id}' in refused.text and 'phase' in refused.text
        assert 'seconds ago' in refused.text
        assert api.wait(image_id)['status'] == 'success'
        remove(api, image_id)


def test_an_upload_is_no_import(api):
    image_id = api.create()
    assert api.put(image_id, DATA, 'file').status_code == 204
    image = api.image(image_id)
    assert image['status'] == 'active' and 'approved_by' not in image
    assert api.sha512(image_id) == SHA512
    part = api.request('GET', f'/v2/images/{image_id}/file', headers={'Range': 'bytes=10-99'})
    assert (part.status_code, part.content) == (206, DATA[10:100])
    remove(api, image_id)


def test_a_torn_stage_leaves_the_image_queued(api):
    image_id = api.create()

    def torn():
        yield DATA[:1_000_000]
        wait_for(lambda: api.image(image_id)['status'] == 'uploading', 10, 'status uploading')
        raise OSError('the client is gone')

    with pytest.raises(Exception, match='gone'):
        api.put(image_id, torn())
    wait_for(lambda: api.image(image_id)['status'] == 'queued', 10, 'status queued')
    assert api.files('staging') == []
    assert api.post_import(image_id).status_code == 409
    assert api.put(image_id, DATA).status_code == 204
    assert api.post_import(image_id).status_code == 202
    assert api.wait(image_id)['status'] == 'success'
    remove(api, image_id)


@pytest.mark.parametrize('how', ['cancel', 'delete'])
def test_an_import_in_the_middle_of_its_bytes_ends_within_two_seconds(api, web, how):
    image_id = api.create()
    api.post_import(image_id, 'web-download', method={'uri': web.url + '/stall'})
    wait_for(
        lambda: (api.last_task(image_id)['progress'] or {}).get('bytes_done'), 10, 'some bytes'
    )
    assert api.last_task(image_id)['progress']['bytes_total'] == len(DATA)
    if how == 'cancel':
        answer = api.request('POST', f'/v2/images/{image_id}/actions/cancel_import')
        assert answer.status_code == 202
        wait_for(lambda: api.last_task(image_id)['status'] == 'failure', 2, 'the end')
        assert api.last_task(image_id)['error']['code'] == 'cancelled'
        assert api.image(image_id)['status'] == 'queued'
    assert api.request('DELETE', f'/v2/images/{image_id}').status_code == 204
    wait_for(lambda: api.files('staging') == [] and api.files('fast') == [], 2, 'no files')


def test_deleting_an_importing_image_leaves_nothing(api, web):
    image_id = api.create()
    api.post_import(image_id, 'web-download', method={'uri': web.url + '/disk'})
    assert api.request('DELETE', f'/v2/images/{image_id}').status_code == 204
    wait_for(lambda: api.files('staging') == [] and api.files('fast') == [], 10, 'no files')
