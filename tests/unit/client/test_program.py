# SPDX-License-Identifier: Apache-2.0
"""``glance-lite`` from its arguments to its exit status."""

import json

import pytest

from glance_lite.cmd import client

from .conftest import IMAGE_ID, TASK_ID

URL = 'https://example.org/disk.qcow2'
DONE = {
    'status': 'success',
    'progress': {
        'phase': 'complete-task',
        'phases': [{'phase': 'confirm-claim', 'bytes_done': 0, 'seconds': 0.0}],
    },
}
REFUSED = {
    'status': 'failure',
    'message': 'virus found',
    'error': {
        'code': 'plugin_rejected',
        'phase': 'run-plugin:scan',
        'plugin': 'scan',
        'retryable': False,
    },
}


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / 'small disk.img'
    path.write_bytes(b'some bytes' * 100)
    return str(path)


@pytest.fixture
def run(images, capsys):
    """Run the program against the service; return its status, output and what it said."""

    def call(*arguments, endpoint=None):
        status = client.main([arguments[0], '--endpoint', endpoint or images.url, *arguments[1:]])
        captured = capsys.readouterr()
        assert 'Traceback' not in captured.err
        return status, captured.out, captured.err

    return call


def test_a_file_becomes_an_active_image(run, images, disk):
    images.task_answers = [{'status': 'processing'}, DONE]
    status, out, err = run(
        'import',
        disk,
        '--property',
        'os_distro=debian',
        '--tag',
        'a',
        '--visibility',
        'private',
        '--store',
        'fast',
    )
    assert status == 0
    assert images.staged == b'some bytes' * 100
    assert images.import_body == {'method': {'name': 'glance-direct'}, 'stores': ['fast']}
    assert (
        images.image.items()
        >= {
            'name': 'small disk',
            'disk_format': 'raw',
            'container_format': 'bare',
            'tags': ['a'],
            'visibility': 'private',
            'os_distro': 'debian',
        }.items()
    )
    assert 'confirm-claim' in err and 'stage' in err
    assert f'id                {IMAGE_ID}' in out


def test_a_url_is_left_to_the_service(run, images):
    images.task_answers = [DONE]
    status, _, _ = run('import', URL, '--hash', 'sha512:AB01', '--name', 'x')
    assert status == 0
    assert images.import_body == {
        'method': {
            'name': 'web-download',
            'uri': URL,
            'validation_data': {'os_hash_algo': 'sha512', 'os_hash_value': 'ab01'},
        }
    }
    assert images.image['disk_format'] == 'qcow2'


def test_json_is_one_document_and_nothing_else(run, images, disk):
    images.task_answers = [DONE]
    status, out, _ = run('import', disk, '--json')
    document = json.loads(out)
    assert (status, document['outcome'], document['error']) == (0, 'active', None)
    assert document['image']['id'] == IMAGE_ID
    assert document['task']['id'] == TASK_ID


def test_a_failed_import_says_why_and_what_next_and_exits_1(run, images):
    images.task_answers, images.final_status = [REFUSED], 'queued'
    status, out, err = run('import', URL)
    assert (status, out) == (1, '')
    assert 'The import failed in run-plugin:scan: virus found.' in err
    assert f'glance-lite retry --endpoint {images.url} {IMAGE_ID} FILE_OR_URL' in err


def test_json_of_a_failed_import_has_the_error(run, images):
    images.task_answers, images.final_status = [REFUSED], 'queued'
    status, out, _ = run('import', URL, '--json')
    document = json.loads(out)
    assert (status, document['outcome']) == (1, 'failed')
    assert document['error']['code'] == 'plugin_rejected'
    assert document['error']['message'] == 'virus found'


def test_no_watch_ends_with_the_accepted_import(run, images, disk):
    status, out, err = run('import', disk, '--no-watch')
    assert (status, out) == (0, IMAGE_ID + '\n')
    assert f'watch --endpoint {images.url} {IMAGE_ID}' in err
    assert 'GET /images/ID/tasks' not in images.calls


def test_a_refused_url_leaves_no_image_behind(run, images):
    images.refuse_json('POST /images/ID/import', 400, 'The URI is not permitted.')
    status, out, err = run('import', URL, '--json')
    assert status == 1
    assert 'glance-lite: The URI is not permitted.' in err
    assert images.image is None
    assert json.loads(out)['error']['http_status'] == 400


def test_a_method_that_is_not_offered_is_found_before_bytes_are_sent(run, images, disk):
    images.methods = 'web-download'
    status, _, err = run('import', disk)
    assert status == 1
    assert 'does not offer the import method glance-direct' in err
    assert images.image is None and images.staged == b''


def test_a_refused_upload_tells_how_to_go_on(run, images, disk):
    images.refuse_json('PUT /images/ID/stage', 413, 'Too large.')
    status, _, err = run('import', disk)
    assert status == 1
    assert 'Too large.' in err
    assert f"retry --endpoint {images.url} {IMAGE_ID} '{disk}'" in err


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['/nonexistent/disk'], 'No such file'),
        (['https://example.org/disk'], 'give --disk-format'),
        ([URL, '--store', 'nope'], 'There is no store nope. Stores: fast, slow.'),
        ([URL, '--hash', 'nonsense'], '--hash must be ALGORITHM:HEX'),
        (['file:///etc/passwd', '--disk-format', 'raw'], 'without file://'),
    ],
)
def test_what_makes_no_sense_changes_nothing_and_exits_2(run, images, arguments, message):
    status, _, err = run('import', *arguments)
    assert status == 2
    assert message in err
    assert 'POST /images' not in images.calls


def test_a_hash_of_a_file_is_refused(run, images, disk):
    status, _, err = run('import', disk, '--hash', 'sha512:00')
    assert (status, images.calls) == (2, [])
    assert '--hash goes with a URL' in err


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['import'],
        ['import', 'x', '--property', 'no-equals-sign'],
        ['nothing'],
    ],
)
def test_a_wrong_command_line_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        client.main(arguments)
    assert caught.value.code == 2
    assert 'usage: glance-lite' in capsys.readouterr().err


def test_retry_imports_what_is_staged(run, images, disk):
    images.task_answers, images.final_status = [REFUSED], 'uploading'
    run('import', disk)
    images.task_answers, images.final_status = [REFUSED, DONE], 'active'
    status, _, _ = run('retry', IMAGE_ID)
    assert status == 0
    assert images.import_body == {'method': {'name': 'glance-direct'}}
    assert images.calls.count('PUT /images/ID/stage') == 1


def test_retry_downloads_the_last_url_again(run, images):
    given = {'import_req': {'method': {'name': 'web-download', 'uri': URL}, 'stores': ['slow']}}
    images.task_answers, images.final_status = [{**REFUSED, 'input': given}], 'queued'
    run('import', URL, '--store', 'slow')
    images.task_answers, images.final_status = [{**REFUSED, 'input': given}, DONE], 'active'
    status, _, _ = run('retry', 'disk')
    assert status == 0
    assert images.import_body == {
        'method': {'name': 'web-download', 'uri': URL},
        'stores': ['slow'],
    }


def test_retry_gives_a_queued_image_other_data(run, images, disk):
    images.task_answers, images.final_status = [REFUSED], 'queued'
    run('import', URL)
    images.task_answers, images.final_status = [REFUSED, DONE], 'active'
    status, _, _ = run('retry', IMAGE_ID, disk)
    assert status == 0
    assert images.staged == b'some bytes' * 100
    assert images.import_body['method'] == {'name': 'glance-direct'}


def test_retry_never_sends_a_url_whose_credentials_are_hidden(run, images):
    hidden = {'import_req': {'method': {'name': 'web-download', 'uri': 'https://***@h/disk.iso'}}}
    images.task_answers, images.final_status = [{**REFUSED, 'input': hidden}], 'queued'
    run('import', URL)
    status, _, err = run('retry', IMAGE_ID)
    assert status == 2
    assert 'give the file or the URL as well' in err


@pytest.mark.parametrize(
    'status_of_image, message',
    [
        ('active', 'is active; only a queued or uploading image'),
        ('importing', 'glance-lite watch'),
    ],
)
def test_retry_of_an_image_that_needs_none_says_so(run, images, status_of_image, message):
    images.image = {'id': IMAGE_ID, 'name': 'x', 'status': status_of_image}
    status, _, err = run('retry', IMAGE_ID)
    assert status == 2
    assert message in err


def test_watch_follows_an_import_that_somebody_else_started(run, images):
    images.image = {'id': IMAGE_ID, 'name': 'disk', 'status': 'importing'}
    images.task_answers = [{'status': 'processing'}, DONE]
    status, out, _ = run('watch', 'disk')
    assert status == 0
    assert IMAGE_ID in out


def test_no_service_is_one_sentence_and_exits_1(run, disk):
    status, out, err = run('import', disk, '--json', endpoint='http://127.0.0.1:1')
    assert status == 1
    assert err.count('\n') == 1 and 'cannot be reached' in err
    assert json.loads(out)['outcome'] == 'failed'


def test_the_environment_may_name_the_service(images, disk, monkeypatch, capsys):
    monkeypatch.setenv('GLANCE_LITE_ENDPOINT', images.url)
    images.task_answers = [DONE]
    assert client.main(['import', disk]) == 0
    assert IMAGE_ID in capsys.readouterr().out
