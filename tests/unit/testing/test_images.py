# SPDX-License-Identifier: Apache-2.0
"""The sample disks are what they say, by oslo's inspectors and, where installed, by qemu-img."""

import shutil
import subprocess

import pytest
from oslo_utils.imageutils import format_inspector

from glance_lite.testing import images


@pytest.mark.parametrize('data_bytes', [0, 65536, 3 * 1024 * 1024, images.DISK_BYTES])
def test_a_qcow2_disk_is_valid_and_safe(tmp_path, data_bytes):
    path = images.write_qcow2(tmp_path / 'disk', data_bytes)
    found = format_inspector.detect_file_format(str(path))
    assert (str(found), found.virtual_size) == ('qcow2', images.DISK_BYTES)
    found.safety_check()
    if qemu_img := shutil.which('qemu-img'):
        subprocess.run([qemu_img, 'check', path], check=True, capture_output=True)


def test_a_raw_disk_has_a_partition_table(tmp_path):
    found = format_inspector.detect_file_format(str(images.write_raw(tmp_path / 'disk')))
    assert str(found) == 'gpt'  # the inspector of partition tables, the old kind included
    found.safety_check()


def test_a_disk_with_a_backing_file_is_unsafe(tmp_path):
    path = images.write_qcow2(tmp_path / 'disk', backing_file='/etc/passwd')
    found = format_inspector.detect_file_format(str(path))
    with pytest.raises(format_inspector.SafetyCheckFailed, match='backing_file'):
        found.safety_check()


def test_the_same_disk_is_made_each_time(tmp_path):
    first, second = (images.write_qcow2(tmp_path / name).read_bytes() for name in 'ab')
    assert first == second
