# SPDX-License-Identifier: Apache-2.0
"""The calls of the Images API, over HTTP through openstacksdk."""

import pytest

from glance_lite.client.errors import ClientError, ServiceRefused, UsageError
from glance_lite.client.service import connect
from glance_lite.client.upload import CHUNK_BYTES, FileUpload

from .conftest import IMAGE_ID, TASK_ID


@pytest.fixture
def service(images):
    return connect(images.url)


@pytest.fixture
def image(service):
    return service.create_image({'name': 'disk', 'disk_format': 'raw'})


def test_data_is_staged_whole_with_its_length(service, images, image, tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b'end')
    service.stage(image['id'], FileUpload(path))
    assert images.staged == path.read_bytes()
    assert images.stage_headers['Content-Length'] == str(2 * CHUNK_BYTES + 3)
    assert images.stage_headers['Content-Type'] == 'application/octet-stream'


def test_the_task_of_an_accepted_import_is_known(service, images, image):
    body = {
        'method': {
            'name': 'web-download',
            'uri': 'http://example.org/x',
            'validation_data': {'os_hash_algo': 'sha512', 'os_hash_value': '00'},
        }
    }
    assert service.start_import(image['id'], body) == TASK_ID
    assert images.import_body == body


def test_a_refused_import_is_an_error_with_the_services_sentence(service, images, image):
    images.refuse_json(
        'POST /images/ID/import',
        409,
        'Staged data is missing.<br /><br />',
        **{'x-openstack-request-id': 'req-7'},
    )
    with pytest.raises(ServiceRefused, match=r'^Staged data is missing\.$') as caught:
        service.start_import(image['id'], {'method': {'name': 'glance-direct'}})
    assert (caught.value.status, caught.value.request_id) == (409, 'req-7')


def test_the_code_of_a_refusal_is_kept(service, images, image):
    body = b'{"error": {"code": "filtered_uri", "message": "Not permitted.", "request_id": "r"}}'
    images.refuse['POST /images/ID/import'] = (403, {}, body)
    with pytest.raises(ServiceRefused, match=r'^Not permitted\.$') as caught:
        service.start_import(image['id'], {'method': {'name': 'web-download'}})
    assert (caught.value.code, caught.value.request_id) == ('filtered_uri', 'r')


@pytest.mark.parametrize(
    'body',
    [
        b'<html><head><title>413</title></head><body>Too <b>large</b></body></html>',
        b'413 Too large\n\n',
        b'["Too", "large"]',
        b'{"error": "Too large"}',
    ],
)
def test_error_pages_of_any_kind_become_a_sentence(service, images, body):
    images.refuse['POST /images'] = (413, {'Content-Type': 'text/html'}, body)
    with pytest.raises(ServiceRefused, match='large'):
        service.create_image({'name': 'x'})


def test_a_busy_service_says_when_to_come_again(service, images, image):
    images.refuse_json('GET /images/ID', 502, 'Busy.', **{'Retry-After': '7'})
    with pytest.raises(ServiceRefused, match='Try again in 7 seconds') as caught:
        service.get_image(IMAGE_ID)
    assert caught.value.temporary


def test_an_answer_that_is_no_json_is_an_error(service, images, image):
    images.refuse['GET /images/ID'] = (200, {}, b'welcome to the hotel network')
    with pytest.raises(ClientError, match='not a JSON object'):
        service.get_image(IMAGE_ID)


def test_an_image_is_found_by_id_or_by_its_only_name(service, images, image):
    assert service.find_image(IMAGE_ID)['name'] == 'disk'
    assert service.find_image('disk')['id'] == IMAGE_ID
    with pytest.raises(UsageError, match='no image with the id or name other'):
        service.find_image('other')


def test_a_service_that_is_not_there_is_one_sentence():
    with pytest.raises(ClientError, match='cannot be reached') as caught:
        connect('http://127.0.0.1:1')
    assert caught.value.temporary and '\n' not in caught.value.message


@pytest.mark.parametrize('endpoint', ['127.0.0.1:9292', 'ftp://host', 'http://', 'x'])
def test_an_endpoint_must_be_a_web_address(endpoint):
    with pytest.raises(UsageError, match='--endpoint must be a URL'):
        connect(endpoint)


def test_a_cloud_that_is_not_configured_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ('OS_CLOUD', 'OS_AUTH_URL', 'OS_AUTH_TYPE', 'OS_CLIENT_CONFIG_FILE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(UsageError, match='--endpoint URL'):
        connect().list_stores()
    with pytest.raises(UsageError, match='nope'):
        connect(cloud='nope')


@pytest.mark.parametrize('ending', ['/', '/v2', '/v2/'])
def test_an_endpoint_may_end_with_the_path_of_the_api(images, ending):
    assert connect(images.url + ending).list_stores() == ['fast', 'slow']
