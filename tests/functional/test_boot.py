# SPDX-License-Identifier: Apache-2.0
"""A small system that is imported as qcow2 and stored as raw still boots, and runs its script.

The system is GRUB of Debian's ``grub-pc-bin`` on a disk with a partition: what it prints is in a
file of its file system. QEMU emulates the whole machine.
"""

import os
import struct
import subprocess

import pytest

from tests import programs, services
from tests.functional.service import service

GRUB = '/usr/lib/grub/i386-pc'
SECTOR = 512
#: Where the partition begins; GRUB's core lies before it.
FIRST_SECTOR = 2048
PARTITION_BYTES = 16 << 20
WORDS = 'this disk was converted'
SCRIPT = f"""\
serial --unit=0 --speed=115200
terminal_output serial
echo "{WORDS}: $root"
halt
"""
MODULES = ['biosdisk', 'part_msdos', 'ext2', 'serial', 'terminal', 'echo', 'halt', 'normal', 'test']
PLUGINS = (
    '[image_import_opts]\nimage_import_plugins = image_decompression, image_conversion\n'
    '[image_conversion]\noutput_format = raw\n'
)

pytestmark = [
    programs.QEMU_IMG,
    programs.needs('qemu-system-x86_64', 'qemu-system-x86'),
    programs.needs('grub-mkimage', 'grub-common grub-pc-bin'),
    pytest.mark.skipif(
        not os.path.exists(f'{GRUB}/boot.img') and not services.REQUIRED,
        reason='no GRUB here; apt install grub-pc-bin',
    ),
]


def run(*command):
    path = f'{os.environ["PATH"]}:/usr/sbin:/sbin'
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, 'PATH': path})


@pytest.fixture
def system(tmp_path):
    """Make the disk as qcow2, and return its path."""
    root = tmp_path / 'root'
    (root / 'boot/grub').mkdir(parents=True)
    (root / 'boot/grub/grub.cfg').write_text(SCRIPT)
    partition, core = tmp_path / 'partition', tmp_path / 'core'
    partition.write_bytes(b'')
    os.truncate(partition, PARTITION_BYTES)
    run('mke2fs', '-q', '-t', 'ext2', '-F', '-d', str(root), str(partition))
    prefix = '(hd0,msdos1)/boot/grub'
    run('grub-mkimage', '-O', 'i386-pc', '-p', prefix, '-o', str(core), *MODULES)
    assert core.stat().st_size < (FIRST_SECTOR - 1) * SECTOR
    with open(f'{GRUB}/boot.img', 'rb') as file:
        boot = bytearray(file.read(SECTOR))
    entry = struct.pack(
        '<B3sB3sII', 0x80, b'\0\2\0', 0x83, b'\xff' * 3, FIRST_SECTOR, PARTITION_BYTES // SECTOR
    )
    boot[446:512] = entry + bytes(48) + b'\x55\xaa'
    disk = tmp_path / 'disk'
    with open(disk, 'wb') as file:
        file.write(boot + core.read_bytes())
        file.seek(FIRST_SECTOR * SECTOR)
        file.write(partition.read_bytes())
    image = tmp_path / 'disk.qcow2'
    run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', str(disk), str(image))
    return image


def test_a_converted_system_boots_and_speaks_on_its_serial_console(tmp_path, system):
    with services.database('sqlite', str(tmp_path)) as url, service(tmp_path, url, PLUGINS) as api:
        image_id = api.create(disk_format='qcow2')
        assert api.put(image_id, system.read_bytes()).status_code == 204
        assert api.post_import(image_id).status_code == 202
        task = api.wait(image_id)
        assert task['status'] == 'success', task['message']
        image = api.image(image_id)
        assert image['disk_format'] == 'raw'
        assert image['size'] == image['virtual_size'] > PARTITION_BYTES
        disk = tmp_path / 'downloaded'
        disk.write_bytes(api.request('GET', f'/v2/images/{image_id}/file').content)
    machine = ['qemu-system-x86_64', '-M', 'pc', '-m', '128', '-nodefaults', '-display', 'none']
    machine += ['-drive', f'file={disk},format=raw,if=ide', '-serial', 'stdio', '-no-reboot']
    done = subprocess.run(
        machine, capture_output=True, stdin=subprocess.DEVNULL, timeout=180, check=False
    )
    assert f'{WORDS}: hd0,msdos1' in done.stdout.decode(errors='replace'), done
