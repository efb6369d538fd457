# SPDX-License-Identifier: Apache-2.0
"""Make a small valid disk image to try the service with: a qcow2 with a partition table.

Layout and field offsets: QEMU's "The qcow2 Image Format" (docs/interop/qcow2.txt), version 3 with
no features and 64 KiB clusters. Not a general writer of that format.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

DISK_BYTES = 64 * 1024 * 1024
SECTOR_BYTES = 512

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_COPIED = 1 << 63  # "refcount is exactly one", in L1 and L2 entries
_HEADER_BYTES = 104
_PARTITION_FIRST_SECTOR = 2048
_LINUX_PARTITION = 0x83


def write_qcow2(path: Path, data_bytes: int = 24 * 1024 * 1024) -> None:
    """Write a disk of :data:`DISK_BYTES` with one partition that begins with ``data_bytes``.

    Clusters in the file: header, L1 table, L2 table, refcount table, refcount block, data. One of
    each is enough for a disk of this size. The data is noise, the same in each run.

    :raises OSError: if the file cannot be written.
    """
    first_data, holes = 5, _PARTITION_FIRST_SECTOR * SECTOR_BYTES // _CLUSTER
    guest_clusters = [0, *range(holes, holes + data_bytes // _CLUSTER)]
    table_1, table_2, count_table, count_block = (n * _CLUSTER for n in range(1, first_data))
    entries = [0] * (_CLUSTER // 8)
    for at, guest in enumerate(guest_clusters, start=first_data):
        entries[guest] = at * _CLUSTER | _COPIED
    used = first_data + len(guest_clusters)
    header = struct.pack(
        '>4sIQIIQIIQQIIQQQQII', b'QFI\xfb', 3, 0, 0, _CLUSTER_BITS, DISK_BYTES, 0, 1, table_1,
        count_table, 1, 0, 0, 0, 0, 0, 4, _HEADER_BYTES,
    )
    noise = random.Random(DISK_BYTES)
    with open(path, 'wb') as disk:
        disk.write(_padded(header))
        disk.write(_padded(struct.pack('>Q', table_2 | _COPIED)))
        disk.write(struct.pack(f'>{len(entries)}Q', *entries))
        disk.write(_padded(struct.pack('>Q', count_block)))
        disk.write(_padded(b'\x00\x01' * used))
        disk.write(_padded(partition_table()))
        for _ in guest_clusters[1:]:
            disk.write(noise.randbytes(_CLUSTER))


def partition_table() -> bytes:
    """Return the first sector of the disk: a master boot record with one Linux partition."""
    sectors = DISK_BYTES // SECTOR_BYTES - _PARTITION_FIRST_SECTOR
    beyond_cylinders = b'\xfe\xff\xff'  # "see the sector numbers instead"
    entry = struct.pack(
        '<B3sB3sII', 0x80, beyond_cylinders, _LINUX_PARTITION, beyond_cylinders,
        _PARTITION_FIRST_SECTOR, sectors,
    )
    record = bytes(440) + b'GLDK' + bytes(2) + entry + bytes(48) + b'\x55\xaa'
    assert len(record) == SECTOR_BYTES
    return record


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _CLUSTER)
