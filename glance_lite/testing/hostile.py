# SPDX-License-Identifier: Apache-2.0
"""Make content that an image service must refuse, or take with care: small, and without tools.

Each function returns bytes. Layouts: QEMU's ``docs/interop/qcow2.txt``; VMware's "Virtual Disk
Format 1.1"; Microsoft's "Virtual Hard Disk Image Format Specification" and MS-VHDX; QEMU's
``block/vdi.c``; ECMA-119 section 8.4; UEFI specification section 5.2; the LUKS On-Disk Format.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile

from glance_lite.testing.images import boot_record

_SECTOR = 512
_MIB = 1024 * 1024


def qcow2_header(
    *,
    version: int = 3,
    backing_offset: int = 0,
    features: int = 0,
    size: int = 64 * _MIB,
    crypt: int = 0,
    tail: bytes = b'',
) -> bytes:
    """Return a qcow2 header in a cluster of its own, and nothing that it points to.

    :param features: the incompatible feature bits; 1 << 2 is "external data file".
    """
    fields = struct.pack(
        '>4sIQIIQIIQQIIQQQQII',
        b'QFI\xfb',
        version,
        backing_offset,
        11 if backing_offset else 0,
        16,
        size,
        crypt,
        1,
        1 << 16,
        2 << 16,
        1,
        0,
        0,
        features,
        0,
        0,
        4,
        104,
    )
    return (fields + bytes(8) + tail).ljust(1 << 16, b'\0')


def vmdk(
    create_type: str = 'monolithicSparse',
    extent: str = 'RW 131072 SPARSE "disk.vmdk"',
    *,
    descriptor: str | None = None,
    footer: bool = False,
) -> bytes:
    """Return a hosted sparse VMDK with this descriptor, without grains.

    :param footer: whether the header says that another one at the end counts.
    """
    text = descriptor or vmdk_text(create_type, extent)
    at_end = 0xFFFFFFFFFFFFFFFF
    header = struct.pack(
        '<4sIIQQQQIQQ', b'KDMV', 1, 3, 131072, 128, 1, 20, 512, 21, at_end if footer else 26
    )
    return (header.ljust(_SECTOR, b'\0') + text.encode()).ljust(128 * _SECTOR, b'\0')


def vmdk_text(
    create_type: str = 'monolithicFlat', extent: str = 'RW 1 FLAT "/etc/passwd" 0'
) -> str:
    """Return a VMDK descriptor; alone it is an image whose data is in other files."""
    return (
        '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n'
        f'createType="{create_type}"\n\n# Extent description\n{extent}\n\n'
        '# The Disk Data Base\nddb.adapterType = "ide"\n'
    )


def vhd(disk_type: int = 3, size: int = 64 * _MIB) -> bytes:
    """Return the footer copy that begins a dynamic (3) or differencing (4) VHD, and padding."""
    footer = struct.pack(
        '>8sIIQI4sI4sQQ', b'conectix', 2, 1 << 16, 512, 0, b'qemu', 1, b'Wi2k', size, size
    )
    footer += struct.pack('>II', 0x08601011, disk_type)
    return footer.ljust(4096, b'\0')


def vdi(image_type: int = 1, size: int = 64 * _MIB) -> bytes:
    """Return the header of a VirtualBox disk: dynamic is 1, differencing 4."""
    header = bytearray(4096)
    header[:39] = b'<<< Oracle VM VirtualBox Disk Image >>>'
    struct.pack_into('<IIII', header, 0x40, 0xBEDA107F, 0x00010001, 400, image_type)
    struct.pack_into('<Q', header, 0x170, size)
    return bytes(header)


def vhdx(signature: bytes = b'regi', item_length: int = 8, size: int = 64 * _MIB) -> bytes:
    """Return a VHDX up to its metadata, with the virtual size in an item of this length."""
    data = bytearray(2 * _MIB)
    data[:8] = b'vhdxfile'
    region = struct.pack('<4sIII', signature, 0, 1, 0)
    region += _guid('8B7CA206-4790-4B9A-B8FE-575F050F886E') + struct.pack('<QII', _MIB, _MIB, 1)
    data[192 * 1024 : 192 * 1024 + len(region)] = region
    table = struct.pack('<8sHH20x', b'metadata', 0, 1)
    table += _guid('2FA54224-CD1B-4876-B211-5DBED83BF4B8')
    table += struct.pack('<IIII', 64 * 1024, item_length, 0, 0)
    data[_MIB : _MIB + len(table)] = table
    struct.pack_into('<Q', data, _MIB + 64 * 1024, size)
    return bytes(data)


def iso(hybrid: bool = False, head: bytes = b'') -> bytes:
    """Return an ISO 9660 volume without files; ``hybrid`` has a partition table too."""
    data = bytearray(64 * 1024)
    if hybrid:
        data[:_SECTOR] = boot_record()
    data[: len(head)] = head
    volume = bytearray(2048)
    volume[:7] = b'\x01CD001\x01'
    struct.pack_into('<I', volume, 80, 32)
    struct.pack_into('<H', volume, 128, 2048)
    data[32 * 1024 : 34 * 1024] = volume
    return bytes(data)


def gpt(*, first_lba: int = 1, boot_flag: int = 0, second: bool = False, kind: int = 0xEE) -> bytes:
    """Return a disk with a protective master boot record, which these may make unsound."""
    entry = struct.pack('<B3sB3sII', boot_flag, b'\0\x02\0', kind, b'\xff\xff\xff', first_lba, 2047)
    another = struct.pack('<B3sB3sII', 0, b'\0\x02\0', 0x83, b'\xff\xff\xff', 1, 2047)
    record = bytes(446) + entry + (another if second else bytes(16)) + bytes(32) + b'\x55\xaa'
    return record + b'EFI PART'.ljust(_SECTOR, b'\0') + bytes(64 * 1024)


def luks(version: int = 1) -> bytes:
    """Return the header of an encrypted disk, and noise that is all zeros."""
    return (b'LUKS\xba\xbe' + struct.pack('>H', version)).ljust(64 * 1024, b'\0')


def qed() -> bytes:
    """Return the beginning of a disk in QEMU's abandoned format."""
    return b'QED\0'.ljust(64 * 1024, b'\0')


def jpeg() -> bytes:
    """Return what begins like a picture."""
    return b'\xff\xd8\xff\xe0\x00\x10JFIF\x00'.ljust(100_000, b'\x5a')


def html() -> bytes:
    """Return the page that a server sends in place of a disk."""
    return b'<!DOCTYPE html>\n<html><title>Sign in</title></html>\n' * 100


def packed(kind: str, data: bytes) -> bytes:
    """Return ``data`` compressed: ``gzip``, ``bzip2``, ``xz`` or ``zip``."""
    if kind == 'gzip':
        return gzip.compress(data, mtime=0)
    if kind == 'bzip2':
        return bz2.compress(data)
    if kind == 'xz':
        return lzma.compress(data)
    if kind == 'zip':
        return zipped({'disk': data})
    raise ValueError(kind)


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip archive with these members, whatever their names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return out.getvalue()


def tar(name: str = 'disk.vmdk', data: bytes = b'disk') -> bytes:
    """Return a tar archive with one member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def bomb(kind: str = 'gzip', megabytes: int = 64) -> bytes:
    """Return a little that unpacks to so many MiB of zeros."""
    return packed(kind, bytes(megabytes * _MIB))


def _guid(text: str) -> bytes:
    """Return a GUID as Microsoft's formats store it: its first three parts little-endian."""
    first, second, third, *rest = text.split('-')
    return struct.pack('<IHH', int(first, 16), int(second, 16), int(third, 16)) + bytes.fromhex(
        ''.join(rest)
    )
