# SPDX-License-Identifier: Apache-2.0
"""Turn stored data into what a WSGI server sends: a file where it can use one, blocks otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from glance_lite.stores.base import CHUNK_BYTES, StoreReader


def stream(
    environ: dict[str, Any],
    reader: StoreReader,
    size: int,
    on_end: Callable[[int], object] | None = None,
) -> Iterable[bytes]:
    """Return the body of a download; its ``close`` lets go of the reader.

    A part of a file is given only to a ``wsgi.file_wrapper`` that knows parts (that of our server
    has ``extent``); others, like uWSGI's, send a file to its end.

    :param size: bytes of the whole data.
    :param on_end: is told how many bytes went out; to be counted they must pass through here.
    """
    if on_end is not None:
        return Blocks(reader, on_end)
    wrapper = environ.get('wsgi.file_wrapper')
    file = reader.open_file() if wrapper is not None else None
    if wrapper is None or file is None:
        return Blocks(reader)
    if reader.length != size and not hasattr(wrapper, 'extent'):
        return Blocks(reader)
    body: Iterable[bytes] = wrapper(FilePart(file, reader.length), CHUNK_BYTES)
    return body


class FilePart:
    """The next ``length`` bytes of a file, as ``wsgi.file_wrapper`` wants them."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self.offset = file.tell()
        self.length = length
        self._left = length

    def fileno(self) -> int:
        """Return the descriptor, for ``sendfile``."""
        return self._file.fileno()

    def tell(self) -> int:
        """Return the position in the file."""
        return self._file.tell()

    def seek(self, offset: int) -> int:
        """Move to a position in the file."""
        self._left = self.length - (offset - self.offset)
        return self._file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the part, nothing at its end."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Blocks:
    """Stored data in blocks. Data that ends early breaks the connection, as it is not whole."""

    def __init__(self, reader: StoreReader, on_end: Callable[[int], object] | None = None) -> None:
        self._reader = reader
        self._on_end = on_end
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        left = self._reader.length
        buffer = memoryview(bytearray(min(CHUNK_BYTES, max(left, 1))))
        while left:
            count = self._reader.readinto(buffer[: min(left, len(buffer))])
            if not count:
                raise OSError('the stored data ended early')
            left -= count
            yield bytes(buffer[:count])
            self._sent += count  # whoever sends has come back for more

    def close(self) -> None:
        """Let go of the reader."""
        self._reader.close()
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end(self._sent)
