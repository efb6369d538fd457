# SPDX-License-Identifier: Apache-2.0
"""The bytes that are moved: files that look random but are the same each time."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True)
class Payload:
    """A file and what is known of it; ``size`` in bytes."""

    path: Path
    size: int
    sha512: str

    @property
    def mib(self) -> float:
        """Return the size in MiB."""
        return self.size / MIB


def make(folder: Path, mib: int, seed: int = 1) -> Payload:
    """Write a file of ``mib`` MiB from a seeded generator, which no format detector mistakes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'payload-{mib}-{seed}'
    digest = hashlib.sha512()
    generator = random.Random(seed)
    with path.open('wb') as file:
        for _ in range(mib):
            block = generator.randbytes(MIB)
            digest.update(block)
            file.write(block)
    return Payload(path, mib * MIB, digest.hexdigest())
