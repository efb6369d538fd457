# SPDX-License-Identifier: Apache-2.0
"""A small system that is imported as qcow2 and stored as raw still boots, and speaks.

Debian's GRUB is on a disk with a partition, and runs the script that is in its file system; so it
starts Linux, where there is a kernel, with a first program that speaks. QEMU emulates the whole
machine.
"""

import glob
import os
import shutil
import struct
import subprocess

import pytest

from tests import programs, services
from tests.functional.service import service

GRUB = '/usr/lib/grub/i386-pc'
SECTOR = 512
#: Where the partition begins; GRUB's core lies before it.
FIRST_SECTOR = 2048
PARTITION_BYTES = 40 << 20
WORDS = 'this disk was converted'
SERIAL = 'serial --unit=0 --speed=115200\nterminal_output serial\n'
#: What GRUB does, and what is printed then.
SCRIPTS = {
    'grub': (f'{SERIAL}echo "{WORDS}: $root"\nhalt\n', f'{WORDS}: hd0,msdos1'),
    'linux': (
        f'{SERIAL}linux /boot/vmlinuz console=ttyS0 panic=-1\ninitrd /boot/initrd\nboot\n',
        f'{WORDS}: Linux',
    ),
}
INIT = f"""\
#!/bin/busybox sh
echo "{WORDS}: $(busybox uname -s)"
busybox poweroff -f
"""
MODULES = ['biosdisk', 'part_msdos', 'ext2', 'serial', 'terminal', 'echo', 'halt', 'normal', 'test']
MODULES += ['linux', 'boot']
#: A kernel for the machine: the one that is named, or one of this host.
KERNEL = os.environ.get('GLANCE_LITE_TEST_KERNEL') or max(glob.glob('/boot/vmlinuz-*'), default='')
BUSYBOX = shutil.which('busybox') or ''
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


def has_linux():
    """Tell whether there are a kernel and a shell that needs no libraries."""
    if not (BUSYBOX and os.access(KERNEL, os.R_OK)):
        return False
    with open(BUSYBOX, 'rb') as file:
        return b'/ld-linux' not in file.read(4096)


def archive(files):
    """Return files as the kernel unpacks them (cpio, "newc"), by name with mode, device, data."""
    packed = b''
    for number, (name, (mode, device, data)) in enumerate(
        {**files, 'TRAILER!!!': (0, 0, b'')}.items()
    ):
        fields = (
            number,
            mode,
            0,
            0,
            1,
            0,
            len(data),
            0,
            0,
            device >> 8,
            device & 255,
            len(name) + 1,
            0,
        )
        entry = b'070701' + b''.join(b'%08X' % field for field in fields) + name.encode() + b'\0'
        packed += entry + bytes(-len(entry) % 4) + data + bytes(-len(data) % 4)
    return packed


def first_program():
    """Return what the kernel starts with: a shell with a script, and the console."""
    with open(BUSYBOX, 'rb') as file:
        busybox = file.read()
    return archive(
        {
            'dev': (0o40755, 0, b''),
            'dev/console': (0o20600, 5 << 8 | 1, b''),
            'bin': (0o40755, 0, b''),
            'bin/busybox': (0o100755, 0, busybox),
            'init': (0o100755, 0, INIT.encode()),
        }
    )


@pytest.fixture(params=SCRIPTS)
def system(tmp_path, request):
    """Make the disk as qcow2; return its path and what it will print."""
    script, printed = SCRIPTS[request.param]
    root = tmp_path / 'root'
    (root / 'boot/grub').mkdir(parents=True)
    (root / 'boot/grub/grub.cfg').write_text(script)
    if request.param == 'linux':
        if not has_linux():
            pytest.skip('no Linux here: busybox-static, and a vmlinuz as GLANCE_LITE_TEST_KERNEL')
        shutil.copy(KERNEL, root / 'boot/vmlinuz')
        (root / 'boot/initrd').write_bytes(first_program())
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
    return image, printed


def test_a_converted_system_boots_and_speaks_on_its_serial_console(tmp_path, system):
    with services.database('sqlite', str(tmp_path)) as url, service(tmp_path, url, PLUGINS) as api:
        qcow2, printed = system
        image_id = api.create(disk_format='qcow2')
        assert api.put(image_id, qcow2.read_bytes()).status_code == 204
        assert api.post_import(image_id).status_code == 202
        task = api.wait(image_id)
        assert task['status'] == 'success', task['message']
        image = api.image(image_id)
        assert image['disk_format'] == 'raw'
        assert image['size'] == image['virtual_size'] > PARTITION_BYTES
        disk = tmp_path / 'downloaded'
        disk.write_bytes(api.request('GET', f'/v2/images/{image_id}/file').content)
    machine = ['qemu-system-x86_64', '-M', 'pc', '-m', '256', '-nodefaults', '-display', 'none']
    machine += ['-drive', f'file={disk},format=raw,if=ide', '-serial', 'stdio', '-no-reboot']
    done = subprocess.run(
        machine, capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False
    )
    assert printed in done.stdout.decode(errors='replace'), done
