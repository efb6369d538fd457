# SPDX-License-Identifier: Apache-2.0
"""What becomes of hostile content: each row of the table in the documentation is tried.

``python -m tests.hostile`` writes the page after a change.
"""

from __future__ import annotations

import dataclasses
import struct
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from glance_lite.testing import hostile as make
from glance_lite.testing.trial import Trial

PAGE = Path(__file__).resolve().parents[1] / 'doc/source/contributor/hostile.rst'
UNPACK, CONVERT = 'image_decompression', 'image_conversion'
PLUGINS = (UNPACK, CONVERT)
_MIB = 1 << 20
OPTIONS = {UNPACK: {'max_size': 32 * _MIB}, CONVERT: {'max_output_size': 256 * _MIB}}


@dataclasses.dataclass(frozen=True)
class Row:
    """Some content, how it is declared, and whether the plugins above are enabled."""

    what: str
    data: bytes
    disk_format: str
    container_format: str = 'bare'
    has_plugins: bool = False

    @property
    def declared(self) -> str:
        """The formats, the container where it is not ``bare``."""
        other = self.container_format != 'bare'
        return f'{self.disk_format}, {self.container_format}' if other else self.disk_format


def _backed() -> bytes:
    return make.qcow2_header(backing_offset=112, tail=b'/etc/passwd')


def _encrypted_zip() -> bytes:
    data = bytearray(make.zipped({'disk': b'disk'}))
    data[6] |= 1
    data[data.index(b'PK\x01\x02') + 8] |= 1
    return bytes(data)


def _crowded_zip() -> bytes:
    """A zip archive whose directory is said to have a GiB."""
    data = bytearray(make.zipped({'disk': b'disk'}))
    struct.pack_into('<L', data, data.rindex(b'PK\x05\x06') + 12, 1 << 30)
    return bytes(data)


def _broken_gzip() -> bytes:
    """A gzip file with another checksum than its data has."""
    data = make.packed('gzip', b'disk' * 1000)
    return data[:-8] + struct.pack('<LL', zlib.crc32(b'other'), 4000)


def rows() -> list[Row]:
    """Return what is tried."""
    flat = 'RW 131072 FLAT "/etc/passwd" 0'
    flags = {'a data file': 1 << 2, 'a feature that nobody knows': 1 << 40}
    found = [
        Row('a JPEG picture', make.jpeg(), 'qcow2'),
        Row('a JPEG picture', make.jpeg(), 'iso'),
        Row('a web page', make.html(), 'vmdk'),
        Row('a PDF', b'%PDF-1.7\n' + bytes(5000), 'vdi'),
        Row('a program', b'\x7fELF' + bytes(5000), 'vhd'),
        Row('no byte', b'', 'qcow2'),
        Row('one byte', b'Q', 'qcow2'),
        Row('a qcow2 disk', make.qcow2_header(), 'vmdk'),
        Row('a gzip file', make.packed('gzip', make.qcow2_header()), 'qcow2'),
    ]
    for declared in ('qcow2', 'raw', 'vmdk'):
        found.append(Row('qcow2 with a backing file', _backed(), declared))
    found.append(Row('qcow2 with a backing file', _backed(), 'qcow2', 'ova'))
    found.append(Row('qcow2 with a backing file', _backed(), 'qcow2', 'compressed'))
    found.append(Row('the first 300 bytes of it', _backed()[:300], 'raw'))
    for what, bits in flags.items():
        data = make.qcow2_header(features=bits)
        found += [Row(f'qcow2 with {what}', data, declared) for declared in ('qcow2', 'raw')]
    found += [
        Row('qcow2 of version 1', make.qcow2_header(version=1), 'qcow2'),
        Row('qcow2 of 16 EiB', make.qcow2_header(size=(1 << 64) - 512), 'qcow2'),
        Row('qed', make.qed(), 'raw'),
        Row('VMDK, flat', make.vmdk('monolithicFlat', flat), 'vmdk'),
        Row('VMDK, flat', make.vmdk('monolithicFlat', flat), 'raw'),
        Row('VMDK, a type of its own', make.vmdk('evil'), 'vmdk'),
        Row('VMDK, an extent with a path', make.vmdk(extent='RW 1 SPARSE "../x"'), 'vmdk'),
        Row('VMDK, no extent', make.vmdk(extent=''), 'vmdk'),
        Row('VMDK, no text as descriptor', make.vmdk(descriptor='\x01' * 40), 'vmdk'),
        Row('VMDK, a footer that is missing', make.vmdk(footer=True), 'vmdk'),
        Row('VMDK, a descriptor alone', make.vmdk_text().encode(), 'vmdk'),
        Row('VMDK, a descriptor alone', make.vmdk_text().encode(), 'raw'),
        Row('VMDK, a descriptor and noise', make.vmdk_text().encode() + b'\xff' * 999, 'raw'),
        Row('VHD, differencing', make.vhd(disk_type=4), 'vhd'),
        Row('VDI, differencing', make.vdi(image_type=4), 'vdi'),
        Row('VHDX, no region table', make.vhdx(signature=b'none'), 'vhdx'),
        Row('VHDX, cut off', make.vhdx()[:_MIB], 'vhdx'),
        Row('VHDX, a size of 3 bytes', make.vhdx(item_length=3), 'vhdx'),
        Row('LUKS of version 2', make.luks(version=2), 'raw'),
        Row('GPT, a partition at another sector', make.gpt(first_lba=5), 'raw'),
        Row('GPT, a boot flag that there is not', make.gpt(boot_flag=7), 'raw'),
        Row('GPT beside another partition', make.gpt(second=True), 'raw'),
        Row('a boot record without partitions', make.gpt(kind=0), 'raw'),
        Row('ISO and qcow2 at once', make.iso(head=make.qcow2_header()[:512]), 'iso'),
        Row('ISO and VHD at once', make.iso(head=make.vhd()[:512]), 'raw'),
        Row('a bootable ISO', make.iso(hybrid=True), 'iso'),
        Row('a disk of LUKS 1', make.luks(), 'raw'),
    ]
    plugged = [
        Row('qcow2 in a raw disk', make.qcow2_header(), 'raw'),
        Row('an ISO in a raw disk', make.iso(), 'raw'),
        Row('qcow2 of 1 TiB', make.qcow2_header(size=1 << 40), 'qcow2'),
        Row('a picture, gzip', make.packed('gzip', make.jpeg()), 'qcow2'),
        Row('a backing file, xz', make.packed('xz', _backed()), 'qcow2'),
        Row('a tar archive, gzip', make.packed('gzip', make.tar()), 'raw'),
        Row('gzip in gzip', make.packed('gzip', make.packed('gzip', b'disk')), 'raw'),
        Row('a tar archive', make.tar(), 'raw'),
        Row('64 MiB of zeros, gzip', make.bomb('gzip'), 'raw'),
        Row('64 MiB of zeros, bzip2', make.bomb('bzip2'), 'raw'),
        Row('64 MiB of zeros, xz', make.bomb('xz'), 'raw'),
        Row('64 MiB of zeros, zip', make.bomb('zip'), 'raw'),
        Row('30 MiB of one letter, xz', make.packed('xz', b'a' * (30 * _MIB)), 'raw'),
        Row('gzip, cut off', make.packed('gzip', b'disk' * 9999)[:40], 'raw'),
        Row('gzip, another checksum', _broken_gzip(), 'raw'),
        Row('zip of two members', make.zipped({'a': b'1', 'b': b'2'}), 'raw'),
        Row('zip of a folder', make.zipped({'a/': b''}), 'raw'),
        Row('zip, encrypted', _encrypted_zip(), 'raw'),
        Row('zip with a directory of a GiB', _crowded_zip(), 'raw'),
        Row('zip of ../../etc/passwd', make.zipped({'../../etc/passwd': b'disk'}), 'raw'),
    ]
    return found + [dataclasses.replace(row, has_plugins=True) for row in plugged]


def outcomes(directory: Path) -> list[tuple[Row, str, str]]:
    """Try every row, and return its outcome and what its owner is told.

    :raises AssertionError: something was left behind, or refused bytes can be read.
    """
    told = []
    trials = {}
    for has_plugins in (False, True):
        place = directory / f'service-{has_plugins}'
        place.mkdir()
        trials[has_plugins] = Trial(place, PLUGINS if has_plugins else (), OPTIONS)
    try:
        for row in rows():
            told.append((row, *_outcome(trials[row.has_plugins], row, directory)))
    finally:
        for trial in trials.values():
            trial.close()
    return told


def _outcome(trial: Trial, row: Row, directory: Path) -> tuple[str, str]:
    source = directory / 'source'
    source.write_bytes(row.data)
    done = trial.import_file(
        source, disk_format=row.disk_format, container_format=row.container_format
    )
    assert trial.staged_files() == [], row
    stored = trial.stored_data(done.image.image_id)
    if done.code is None:
        assert done.image.status == 'active' and stored is not None, row
        return 'active', ''
    assert done.image.status == 'queued' and stored is None, row
    assert '/etc' not in done.task.message and str(directory) not in done.task.message
    return done.code, done.task.message


def render(told: Iterable[tuple[Row, str, str]]) -> str:
    """Return the page."""
    lines = [_INTRODUCTION.rstrip('\n')]
    for row, code, message in told:
        cells = [row.what, row.declared, 'yes' if row.has_plugins else '', f'``{code}``', message]
        lines.append('   * - ' + '\n     - '.join(cells))
    return '\n'.join(line.rstrip() for line in '\n'.join(lines).splitlines()) + '\n'


_INTRODUCTION = f"""\
===============
Hostile content
===============

.. Written by python -m tests.hostile; a test imports every row.

What becomes of content that should not be an image, or is made to harm. Each row is imported as
staged data; after a refusal the image is ``queued``, and nothing of the data is left in staging and
stores. ``PUT …/file`` and ``PUT …/stage`` give the answers without plugins, too, with status 415.
The column *plugins* tells that ``{UNPACK}`` (``max_size`` 32 MiB) and
``{CONVERT}`` (``max_output_size`` 256 MiB) are enabled.

.. list-table::
   :header-rows: 1
   :widths: 24 12 8 16 40

   * - content
     - declared
     - plugins
     - outcome
     - what the owner reads
"""

if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(render(outcomes(Path(place))))
