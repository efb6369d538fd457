# SPDX-License-Identifier: Apache-2.0
"""Give the bytes that are in a compressed file, piece by piece, with little memory.

Names in an archive are not looked at, so that none can become a path. How much may come out is the
business of the caller, who stops asking.
"""

from __future__ import annotations

import bz2
import lzma
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Bytes that are given at once, at most.
PIECE_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024
#: What xz, and zstd as a power of two, may take to unpack: 128 MiB, the most that they use without
#: being told to.
_XZ_MEMORY_BYTES = 160 * 1024 * 1024
_ZSTD_WINDOW_LOG = 27

#: The end of a zip archive's directory: PKWARE's APPNOTE, sections 4.3.14 to 4.3.16.
_ZIP_END = struct.Struct('<4s4H2LH')
_ZIP64_LOCATOR = b'PK\x06\x07'
_ZIP_COMMENT_BYTES = 65535
#: A directory of one member with the longest name, comment and extra fields.
_ZIP_DIRECTORY_BYTES = 46 + 3 * 65535


class Damaged(Exception):
    """The file cannot be unpacked; the message says why, and is safe to show."""


def unpack(file: BinaryIO, kind: str) -> Iterator[bytes]:
    """Give what a file of the kind ``gzip``, ``bzip2``, ``xz``, ``zstd`` or ``zip`` holds.

    :raises Damaged: it is cut off or damaged, needs too much memory, or is a zip archive of
        anything but one ordinary file that is not encrypted.
    """
    try:
        yield from _from_zip(file) if kind == 'zip' else _from_streams(file, _DECODERS[kind])
    except _ERRORS as error:
        reason = ' '.join(str(error).split())[:100] or type(error).__name__
        raise Damaged(f'The {kind} data is damaged: {reason}') from error


class _Gzip:
    """zlib behind the face that the other decoders have."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data


_DECODERS: dict[str, Callable[[], Any]] = {
    'gzip': _Gzip,
    'bzip2': bz2.BZ2Decompressor,
    'xz': lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES),
    'zstd': lambda: zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    ),
}
#: What decoders raise for what strangers wrote; RuntimeError and NotImplementedError are zipfile's.
_ERRORS = (
    zlib.error,
    lzma.LZMAError,
    zstd.ZstdError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    struct.error,
)


def _from_streams(file: BinaryIO, make_decoder: Callable[[], Any]) -> Iterator[bytes]:
    """Unpack streams that follow each other, with zeros between and after them."""
    decoder = make_decoder()
    has_begun = False
    data = file.read(_READ_BYTES)
    while True:
        if decoder.eof:
            data = (decoder.unused_data or file.read(_READ_BYTES)).lstrip(b'\0')
            while not data:
                data = file.read(_READ_BYTES)
                if not data:
                    return
                data = data.lstrip(b'\0')
            decoder, has_begun = make_decoder(), False
        elif has_begun:
            data = file.read(_READ_BYTES) if decoder.needs_input else b''
            if decoder.needs_input and not data:
                raise Damaged('The compressed data is cut off.')
        elif not data:
            raise Damaged('The compressed data is cut off.')
        has_begun = True
        try:
            piece = decoder.decompress(data, PIECE_BYTES)
        except OSError as error:  # what bz2 raises
            raise Damaged('The compressed data is damaged.') from error
        if piece:
            yield piece


def _from_zip(file: BinaryIO) -> Iterator[bytes]:
    _require_small_directory(file)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) != 1:
            raise Damaged(f'The zip archive has {len(members)} members, and must have one.')
        [member] = members
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.is_dir() or kind not in (0, stat.S_IFREG):
            raise Damaged('The member of the zip archive is not an ordinary file.')
        if member.flag_bits & 0x1:
            raise Damaged('The member of the zip archive is encrypted.')
        with archive.open(member) as packed:
            while piece := packed.read(PIECE_BYTES):
                yield piece


def _require_small_directory(file: BinaryIO) -> None:
    """Raise unless the directory is that of one member: ``zipfile`` reads it as a whole."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _ZIP_END.size - _ZIP_COMMENT_BYTES))
    tail = file.read()
    at = tail.rfind(b'PK\x05\x06')
    if at < 0 or len(tail) - at < _ZIP_END.size:
        raise Damaged('The zip archive is cut off.')
    fields = _ZIP_END.unpack_from(tail, at)
    directory_bytes = fields[5]
    if at >= 20 and tail[at - 20 : at - 16] == _ZIP64_LOCATOR:
        (offset,) = struct.unpack_from('<Q', tail, at - 12)
        if offset > size:
            raise Damaged('The zip archive is damaged.')
        file.seek(offset)
        end = file.read(56)
        if len(end) < 56 or not end.startswith(b'PK\x06\x06'):
            raise Damaged('The zip archive is damaged.')
        (directory_bytes,) = struct.unpack_from('<Q', end, 40)
    if directory_bytes > _ZIP_DIRECTORY_BYTES:
        raise Damaged('The zip archive has more than one member.')
    file.seek(0)
