# SPDX-License-Identifier: Apache-2.0
"""A file as a request body: streamed in chunks, with its length told beforehand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from glance_lite.client.errors import UsageError

CHUNK_BYTES = 1024 * 1024


class FileUpload:
    """The bytes of one file. Iterating again (a repeated request) starts at the beginning.

    ``on_bytes`` may be set; it is called with the number of bytes handed over so far.

    :raises UsageError: if there is no such file, or nothing in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.on_bytes: Callable[[int], None] = lambda done: None
        try:
            with open(path, 'rb') as source:
                self.size = os.fstat(source.fileno()).st_size
        except OSError as problem:
            raise UsageError(f'Cannot read {path}: {problem.strerror}.') from None
        if not path.is_file():
            raise UsageError(f'{path} is not a regular file.')
        if self.size == 0:
            raise UsageError(f'{path} is empty.')

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks.

        :raises EOFError: if the file became shorter than it was.
        """
        done = 0
        with open(self.path, 'rb') as source:
            while done < self.size:
                chunk = source.read(min(CHUNK_BYTES, self.size - done))
                if not chunk:
                    raise EOFError(f'{self.path} became shorter while it was read.')
                yield chunk
                done += len(chunk)
                self.on_bytes(done)
