# SPDX-License-Identifier: Apache-2.0
"""The import plugin ``clamav``: no image becomes active that clamd has not found clean."""

from __future__ import annotations

from collections.abc import Iterator

from oslo_config import cfg

from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData, reject
from glance_lite_clamav import clamd

MIB = 1024 * 1024
#: Bytes of the end of a piece that the next one begins with: no signature is cut in two.
OVERLAP_BYTES = MIB


class ClamAV(ImportPlugin):
    """Stream the staged data to clamd; refuse what it finds infected.

    Without a verdict on all bytes the import fails, and can be repeated.
    """

    name = 'clamav'
    # what becomes active is what was scanned, and there is more to see in it
    runs_after = ('image_decompression', 'image_conversion')

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        return [
            (
                'clamav',
                [
                    cfg.StrOpt(
                        'address',
                        default='/run/clamav/clamd.ctl',
                        mutable=True,
                        help='Where clamd listens: the path of its socket, or tcp://host:port.',
                    ),
                    cfg.IntOpt(
                        'timeout',
                        default=300,
                        min=1,
                        mutable=True,
                        help='Seconds to wait for the verdict on a piece.',
                    ),
                    cfg.IntOpt(
                        'piece_size',
                        default=1024,
                        min=2,
                        max=2047,
                        mutable=True,
                        help='MiB that clamd scans at once. Larger images are scanned in pieces, '
                        'each of which begins with the last MiB of the one before. '
                        'StreamMaxLength, MaxFileSize and MaxScanSize of clamd must be as large '
                        'at least.',
                    ),
                ],
            )
        ]

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Read the address.

        :raises ValueError: it is none.
        """
        super().__init__(conf)
        try:
            self._address = clamd.parse_address(conf.clamav.address)
        except ValueError as error:
            raise ValueError(f'[clamav] address: {error}') from None

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Have every byte scanned; the receipt names the signatures that were used."""
        options = self.conf.clamav
        scanner = clamd.Clamd(self._address, options.timeout, staged.check_cancelled)
        version = scanner.version()
        for start, end in pieces(staged.size, options.piece_size * MIB):
            signature = scanner.scan(_read(staged, start, end))
            if signature is not None:
                reject(f'ClamAV found {signature} in the content.')
        return ImageChanges(note=f'{version} found nothing')


def pieces(size: int, piece_bytes: int) -> list[tuple[int, int]]:
    """Return where the pieces of so many bytes begin and end; one, even of an empty file."""
    found = [(0, min(size, piece_bytes))]
    while found[-1][1] < size:
        start = found[-1][1] - OVERLAP_BYTES
        found.append((start, min(size, start + piece_bytes)))
    return found


def _read(staged: StagedData, start: int, end: int) -> Iterator[bytes]:
    """Give the bytes of a piece, and report those that no piece before it had."""
    place = start
    with staged.open() as file:
        file.seek(start)
        while place < end:
            chunk = file.read(min(MIB, end - place))
            if not chunk:
                raise clamd.ScannerUnavailable('The staged data is shorter than it was.')
            yield chunk
            place += len(chunk)
            seen = OVERLAP_BYTES if start else 0
            staged.progress(max(0, min(len(chunk), place - start - seen)))
