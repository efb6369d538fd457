# SPDX-License-Identifier: Apache-2.0
"""A file as a request body."""

import os

import pytest

from glance_lite.client.errors import UsageError
from glance_lite.client.upload import CHUNK_BYTES, FileUpload


def test_it_is_read_in_chunks_and_counted(tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(b'a' * CHUNK_BYTES + b'b' * 10)
    upload, seen = FileUpload(path), []
    upload.on_bytes = seen.append
    assert [len(chunk) for chunk in upload] == [CHUNK_BYTES, 10]
    assert len(upload) == CHUNK_BYTES + 10
    assert seen == [CHUNK_BYTES, CHUNK_BYTES + 10]


def test_it_can_be_sent_again_from_the_beginning(tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(b'content')
    upload = FileUpload(path)
    assert b''.join(upload) == b''.join(upload) == b'content'


def test_what_is_appended_meanwhile_is_left_out(tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(b'content')
    upload = FileUpload(path)
    path.write_bytes(b'content and more')
    assert b''.join(upload) == b'content'


def test_a_file_that_shrinks_is_an_error_and_not_a_short_image(tmp_path):
    path = tmp_path / 'disk'
    path.write_bytes(b'content')
    upload = FileUpload(path)
    path.write_bytes(b'co')
    with pytest.raises(EOFError, match='became shorter'):
        list(upload)


@pytest.mark.parametrize(
    'kind, message',
    [
        ('missing', 'No such file'),
        ('empty', 'is empty'),
        ('folder', 'Is a directory'),
    ],
)
def test_what_cannot_be_sent_is_said_at_once(tmp_path, kind, message):
    path = tmp_path / 'disk'
    if kind == 'empty':
        path.touch()
    elif kind == 'folder':
        os.mkdir(path)
    with pytest.raises(UsageError, match=message):
        FileUpload(path)
