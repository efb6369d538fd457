# SPDX-License-Identifier: Apache-2.0
"""The import plugin that unpacks compressed images.

It goes by the content: gzip, bzip2, xz, zstd, and zip archives of one file. What comes out is
inspected and counted while it is written, and blocks of zeros are left out as holes.
"""

from __future__ import annotations

import os

from oslo_config import cfg

from glance_lite import exceptions, inspection
from glance_lite.image_import import unpacking
from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData, reject
from glance_lite.stores import files

GROUP = 'image_decompression'
_BLOCK_BYTES = 64 * 1024
_ZEROS = bytes(_BLOCK_BYTES)
#: Containers whose bytes stay as they are.
_KEPT = frozenset({'compressed', 'ova', 'ovf', 'docker'})
#: So much may come out of any archive, however small it is.
_FREE_BYTES = 16 * 1024 * 1024

OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        'max_size',
        default=0,
        min=0,
        mutable=True,
        help='Bytes that an image may have when it is unpacked. 0: as many as image_size_cap.',
    ),
    cfg.IntOpt(
        'max_ratio',
        default=200,
        min=1,
        mutable=True,
        help='How many times larger an image may become. Blocks of zeros do not count: they are '
        'not written.',
    ),
]


class ImageDecompression(ImportPlugin):
    """Replace compressed staged data with what is in it."""

    name = 'image_decompression'
    transforms = True

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        return [(GROUP, OPTS)]

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Unpack the data, unless it is not compressed or is to stay so.

        :raises ImportFailed: it is damaged, too large, or holds what is unsafe or not declared.
        """
        if image.container_format in _KEPT:
            return ImageChanges(note=f'Not unpacked: the container is {image.container_format}.')
        with staged.open() as file:
            kind = inspection.kind_of(file.read(inspection.HEAD_BYTES))
            file.seek(0)
            if kind not in inspection.ARCHIVES:
                _require_known(kind)
                return None
            rules = inspection.FormatRules.from_conf(self.conf)
            inspector = rules.inspector(image.disk_format, image.container_format)
            writer = _Writer(staged, inspector, self._limits(staged.size))
            try:
                for piece in unpacking.unpack(file, kind):
                    writer.write(piece)
                    writer.report(file.tell())
            except unpacking.Damaged as error:
                reject(str(error))
            finally:
                writer.close()
        found = inspector.finish()
        _require_known(found.kind)
        return ImageChanges(
            virtual_size=found.virtual_size,
            file_path=staged.new_path(),
            note=f'{kind}: {staged.size} bytes to {writer.size}',
        )

    def _limits(self, packed_bytes: int) -> tuple[int, int]:
        options = self.conf[GROUP]
        most = options.max_size or self.conf.image_size_cap
        return most, max(_FREE_BYTES, packed_bytes * options.max_ratio)


class _Writer:
    """Writes the unpacked bytes, within limits."""

    def __init__(
        self, staged: StagedData, inspector: inspection.Inspector, limits: tuple[int, int]
    ) -> None:
        self._staged, self._inspector = staged, inspector
        self._max_size, self._max_written = limits
        self._fd = files.create(staged.new_path())
        self._written = 0
        self._reported = 0
        self.size = 0
        staged.expect(staged.size)

    def write(self, piece: bytes) -> None:
        view = memoryview(piece)
        if self.size + len(view) > self._max_size:
            raise exceptions.ImportFailed(
                'too_large', f'The unpacked image has more than {self._max_size} bytes.'
            )
        self._inspector.eat(view)
        for at in range(0, len(view), _BLOCK_BYTES):
            block = view[at : at + _BLOCK_BYTES]
            if block == _ZEROS[: len(block)]:
                os.lseek(self._fd, len(block), os.SEEK_CUR)
                continue
            self._written += len(block)
            if self._written > self._max_written:
                reject(
                    'The compressed image becomes more times larger than '
                    f'[{GROUP}] max_ratio permits.'
                )
            files.write_all(self._fd, block)
        self.size += len(view)

    def report(self, position: int) -> None:
        """Tell how far the compressed data is read."""
        count, self._reported = max(0, position - self._reported), max(position, self._reported)
        self._staged.progress(count)

    def close(self) -> None:
        os.ftruncate(self._fd, self.size)
        os.close(self._fd)


def _require_known(kind: str | None) -> None:
    if kind in inspection.PACKED:
        reject(
            f'The content begins like {kind}, which is not unpacked; those that are: '
            f'{", ".join(sorted(inspection.ARCHIVES))}, once.'
        )
