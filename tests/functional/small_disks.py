# SPDX-License-Identifier: Apache-2.0
"""File systems with little space, to be filled and freed by a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system in memory, mounted at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / '.ballast'

    def fill(self, but: int = 0) -> None:
        """Leave so many bytes free."""
        with self._ballast.open('ab') as file:
            count = self.free - but
            if count > 0:
                os.posix_fallocate(file.fileno(), file.tell(), count)

    def empty(self) -> None:
        """Give the space back that :meth:`fill` took."""
        self._ballast.unlink(missing_ok=True)

    @property
    def free(self) -> int:
        """Bytes that are free."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize


@contextlib.contextmanager
def small_disk(path: Path, size: int, user: int = 0) -> Iterator[SmallDisk]:
    """Mount a disk of so many bytes at ``path``, or skip the test where that is not permitted."""
    path.mkdir(exist_ok=True)
    options = f'size={size},mode=0700,uid={user},gid={user}'
    done = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', options, 'none', str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f'file systems cannot be mounted here: {done.stderr.strip()}')
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(['umount', '--lazy', str(path)], check=True)
