# SPDX-License-Identifier: Apache-2.0
"""The guess of the disk format."""

import struct

import pytest

from glance_lite.client import formats
from glance_lite.testing import images as sample_images


@pytest.mark.parametrize(
    'url, found',
    [
        ('https://example.org/a/disk.QCOW2?x=.iso', 'qcow2'),
        ('http://example.org/debian.iso', 'iso'),
        ('http://example.org/disk.qcow2.xz', None),
        ('http://example.org/disk', None),
        ('http://example.org/', None),
    ],
)
def test_a_url_goes_by_the_extension_of_its_path(url, found):
    assert formats.of_url(url) == found


def test_a_file_goes_by_its_content_and_not_its_name(tmp_path):
    path = tmp_path / 'disk.iso'
    sample_images.write_qcow2(path, data_bytes=65536)
    assert formats.of_file(path) == 'qcow2'


def test_a_disk_with_a_partition_table_is_raw(tmp_path):
    path = tmp_path / 'disk.img'
    path.write_bytes(sample_images.boot_record() + bytes(1 << 20))
    assert formats.of_file(path) == 'raw'


@pytest.mark.parametrize('content', [b'x', b'just words\n' * 1000, bytes(3 << 20)])
def test_content_without_a_known_header_is_raw(tmp_path, content):
    path = tmp_path / 'disk'
    path.write_bytes(content)
    assert formats.of_file(path) == 'raw'


def test_an_iso_that_is_a_disk_as_well_is_iso(tmp_path):
    path = tmp_path / 'hybrid'
    volume = bytearray(sample_images.boot_record() + bytes(64 * 1024))
    volume[0x8000:0x8006] = b'\x01CD001'
    volume[0x8050:0x8058] = struct.pack('<I', 30) + struct.pack('>I', 30)
    volume[0x8080:0x8084] = struct.pack('<H', 2048) + struct.pack('>H', 2048)
    path.write_bytes(volume)
    assert formats.of_file(path) == 'iso'


def test_a_format_that_images_do_not_have_is_not_guessed(tmp_path):
    path = tmp_path / 'disk.luks'
    path.write_bytes(b'LUKS\xba\xbe\x00\x01' + bytes(1 << 20))
    assert formats.of_file(path) is None
