# SPDX-License-Identifier: Apache-2.0
"""The sample disk is a correct qcow2, read here by the format's own rules."""

import random
import shutil
import struct
import subprocess

import pytest
from oslo_utils.imageutils import format_inspector

from glance_lite.testing import images as sample_disk

CLUSTER = 65536


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / 'disk.qcow2'
    sample_disk.write_qcow2(path, data_bytes=4 * CLUSTER)
    return path


def read_guest(content, at):
    """Return a guest cluster, found through the L1 and L2 tables."""
    (table_1,) = struct.unpack_from('>Q', content, 40)
    (entry_1,) = struct.unpack_from('>Q', content, table_1)
    (entry_2,) = struct.unpack_from('>Q', content, (entry_1 & ~(1 << 63)) + at // CLUSTER * 8)
    offset = entry_2 & ~(1 << 63)
    return content[offset : offset + CLUSTER] if offset else bytes(CLUSTER)


def test_an_independent_inspector_knows_it_and_finds_it_safe(disk):
    found = format_inspector.detect_file_format(str(disk))
    found.safety_check()
    assert str(found) == 'qcow2'
    assert found.virtual_size == sample_disk.DISK_BYTES


def test_the_guest_sees_a_partition_table_and_the_data_at_the_partition(disk):
    content = disk.read_bytes()
    first = read_guest(content, 0)
    assert first[:512] == sample_disk.boot_record()
    begin, length = struct.unpack_from('<II', first, 446 + 8)
    assert (begin + length) * 512 == sample_disk.DISK_BYTES
    noise = random.Random(sample_disk.DISK_BYTES)
    for number in range(4):
        assert read_guest(content, begin * 512 + number * CLUSTER) == noise.randbytes(CLUSTER)
    assert read_guest(content, begin * 512 + 4 * CLUSTER) == bytes(CLUSTER)


def test_each_cluster_of_the_file_is_counted_once(disk):
    content = disk.read_bytes()
    (count_table,) = struct.unpack_from('>Q', content, 48)
    (block,) = struct.unpack_from('>Q', content, count_table)
    used = len(content) // CLUSTER
    counts = struct.unpack_from(f'>{CLUSTER // 2}H', content, block)
    assert len(content) % CLUSTER == 0
    assert counts[:used] == (1,) * used
    assert not any(counts[used:])


@pytest.mark.skipif(shutil.which('qemu-img') is None, reason='qemu-img is not installed')
def test_qemu_img_finds_no_fault(disk):
    subprocess.run(['qemu-img', 'check', '-f', 'qcow2', disk], check=True, capture_output=True)
