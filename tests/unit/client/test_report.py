# SPDX-License-Identifier: Apache-2.0
"""The last words of an import."""

import pytest

from glance_lite.client import report
from glance_lite.client.watch import Outcome


def failed(status, method, retryable, **error):
    given = {'import_req': {'method': {'name': method}}}
    return Outcome(
        {'id': 'i', 'status': status},
        {
            'status': 'failure',
            'message': 'The disk is full',
            'input': given,
            'error': {
                'code': 'no_space',
                'phase': 'copy-to-store:fast',
                'retryable': retryable,
                **error,
            },
        },
    )


def test_a_failure_names_phase_reason_code_and_request():
    words = report.failure(
        failed('queued', 'web-download', True, request_id='req-1'), 'i', report.Commands()
    )
    assert 'failed in copy-to-store:fast: The disk is full.' in words
    assert '(no_space, request req-1)' in words


@pytest.mark.parametrize(
    'status, method, retryable, advice',
    [
        ('uploading', 'glance-direct', True, 'glance-lite retry i'),
        ('uploading', 'glance-direct', False, 'fail in the same way'),
        ('queued', 'web-download', True, 'glance-lite retry i'),
        ('queued', 'glance-direct', True, 'glance-lite retry i FILE'),
        ('queued', 'web-download', False, 'glance-lite retry i FILE_OR_URL'),
        ('queued', 'glance-direct', None, 'glance-lite retry i FILE_OR_URL'),
    ],
)
def test_the_advice_fits_what_is_left(status, method, retryable, advice):
    words = report.failure(failed(status, method, retryable), 'i', report.Commands())
    assert advice in words


def test_advised_commands_go_to_the_same_service():
    words = report.failure(
        failed('uploading', 'glance-direct', True), 'i', report.Commands('http://h:1', None)
    )
    assert 'glance-lite retry --endpoint http://h:1 i' in words


def test_an_active_image_whose_copy_failed_is_told_without_advice():
    words = report.failure(failed('active', 'copy-image', True), 'i', report.Commands())
    assert 'retry' not in words


def test_a_deleted_image_and_an_idle_one_are_told_apart():
    assert 'was deleted' in report.failure(Outcome(None, None), 'i', report.Commands())
    idle = Outcome({'id': 'i', 'status': 'queued'}, None)
    assert 'no import of it is running' in report.failure(idle, 'i', report.Commands())


def test_the_table_has_custom_properties_and_readable_sizes():
    table = report.image_table(
        {
            'id': 'i',
            'size': 1536,
            'checksum': 'x',
            'hw_disk_bus': 'virtio\x1b[0m',
            'tags': ['a', 'b'],
            'virtual_size': None,
        }
    )
    assert table.splitlines() == [
        'id           i',
        'size         1536 (1.5 KiB)',
        'tags         a, b',
        'hw_disk_bus  virtio [0m',
    ]


def test_the_document_of_a_failure_has_the_message_in_the_error():
    document = report.document(failed('queued', 'web-download', True))
    assert document['outcome'] == 'failed'
    assert document['error']['message'] == 'The disk is full'
    assert document['error']['code'] == 'no_space'
