# SPDX-License-Identifier: Apache-2.0
"""Make small disk images: valid ones with a partition table, and one that must be refused.

Layouts: QEMU's "The qcow2 Image Format" (docs/interop/qcow2.txt), version 3, 64 KiB clusters, no
features; the master boot record as in the UEFI specification, section 5.2.1. Not general writers.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

#: Size in bytes of the disks that are made, as a guest sees them.
DISK_BYTES = 64 * 1024 * 1024
SECTOR_BYTES = 512

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_COPIED = 1 << 63  # "the reference count is exactly one", in L1 and L2 entries
_HEADER_BYTES = 104
_FIRST_SECTOR = 2048
_LINUX = 0x83


def write_qcow2(path: Path, data_bytes: int = 1024 * 1024, backing_file: str = '') -> Path:
    """Write a qcow2 disk with one partition that begins with ``data_bytes`` of noise.

    In the file, one cluster each: header, L1 table, L2 table, reference count table, reference
    count block, then data. One L2 table is enough for a disk of this size.

    :param backing_file: a file name for the header; with one, the image is unsafe and is refused.
    """
    guest = [0, *range(_FIRST_SECTOR * SECTOR_BYTES // _CLUSTER, DISK_BYTES // _CLUSTER)]
    guest = guest[: 1 + data_bytes // _CLUSTER]
    level_1, level_2, count_table, count_block = (n * _CLUSTER for n in range(1, 5))
    name = backing_file.encode()
    header = struct.pack(
        '>4sIQIIQIIQQIIQQQQII',
        b'QFI\xfb',
        3,
        _HEADER_BYTES + 8 if name else 0,
        len(name),
        _CLUSTER_BITS,
        DISK_BYTES,
        0,
        1,
        level_1,
        count_table,
        1,
        0,
        0,
        0,
        0,
        0,
        4,
        _HEADER_BYTES,
    )
    entries = [0] * (_CLUSTER // 8)
    for place, cluster in enumerate(guest, start=5):
        entries[cluster] = place * _CLUSTER | _COPIED
    with open(path, 'wb') as file:
        file.write(_padded(header + bytes(8) + name))
        file.write(_padded(struct.pack('>Q', level_2 | _COPIED)))
        file.write(struct.pack(f'>{len(entries)}Q', *entries))
        file.write(_padded(struct.pack('>Q', count_block)))
        file.write(_padded(b'\x00\x01' * (5 + len(guest))))
        file.write(_padded(boot_record()))
        _write_noise(file, len(guest) - 1)
    return path


def write_raw(path: Path, data_bytes: int = 1024 * 1024) -> Path:
    """Write the same disk as plain bytes, cut off behind its data."""
    with open(path, 'wb') as file:
        file.write(boot_record() + bytes(_FIRST_SECTOR * SECTOR_BYTES - SECTOR_BYTES))
        _write_noise(file, data_bytes // _CLUSTER)
    return path


def boot_record() -> bytes:
    """Return the first sector: a master boot record with one Linux partition."""
    sectors = DISK_BYTES // SECTOR_BYTES - _FIRST_SECTOR
    beyond = b'\xfe\xff\xff'  # beyond what cylinders can say: "see the sector numbers"
    entry = struct.pack('<B3sB3sII', 0x80, beyond, _LINUX, beyond, _FIRST_SECTOR, sectors)
    return bytes(440) + b'GLDK' + bytes(2) + entry + bytes(48) + b'\x55\xaa'


def _write_noise(file: object, clusters: int) -> None:
    noise = random.Random(DISK_BYTES)
    for _ in range(clusters):
        file.write(noise.randbytes(_CLUSTER))  # type: ignore[attr-defined]


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _CLUSTER)
