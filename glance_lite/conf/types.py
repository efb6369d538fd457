# SPDX-License-Identifier: Apache-2.0
"""Option types: lists that may be written ``[a, b]`` and ``a, b``, names of hashes, sizes.

Only types; options are in the sibling modules.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from oslo_config import types


class LooseList(types.List):
    """A list written ``a, b``, ``[a, b]`` or ``['a', 'b']``."""

    def __call__(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            text = value.strip()
            if text.startswith('[') != text.endswith(']'):
                raise ValueError(f'The list {text!r} has only one of its two brackets')
            if text.startswith('['):
                text = text[1:-1]
            value = ','.join(_unquote(item) for item in text.split(',') if item.strip())
        return super().__call__(value)


class LooseDict(types.Dict):
    """A map written ``a:b, c:d`` or ``{a:b, c:d}``."""

    def __call__(self, value: Any) -> dict[str, Any]:
        if isinstance(value, str):
            text = value.strip()
            if text.startswith('{') != text.endswith('}'):
                raise ValueError(f'The map {text!r} has only one of its two braces')
            if text.startswith('{'):
                text = text[1:-1]
            value = ','.join(part.strip() for part in text.split(',') if part.strip())
        return super().__call__(value)


class HashAlgorithm(types.String):
    """A name that hashlib knows, of a hash with a fixed length."""

    def __call__(self, value: Any) -> str:
        name: str = super().__call__(value)
        try:
            digest_size = hashlib.new(name, usedforsecurity=False).digest_size
        except ValueError:
            digest_size = 0
        if not digest_size:
            raise ValueError(f'{name} is not the name of a hash of hashlib with a fixed length')
        return name


class StorageSize(types.String):
    """A number of bytes with a unit: ``B``, ``KB``, ``MB``, ``GB``, ``TB``, each 1024 of the one
    before; without a unit, bytes. The value is an int.
    """

    _UNITS = ('B', 'KB', 'MB', 'GB', 'TB')
    #: What a column of the database holds.
    _MOST = (1 << 63) - 1

    def __call__(self, value: Any) -> int:  # type: ignore[override]
        found = re.fullmatch(r'([0-9]+) ?([KMGT]?B)?', str(value).strip().upper(), re.ASCII)
        if found is None:
            raise ValueError(
                f'{value!r} is not a whole number with one of the units {", ".join(self._UNITS)}'
            )
        size = int(found[1]) << 10 * self._UNITS.index(found[2] or 'B')
        if size > self._MOST:
            raise ValueError(f'{value} is more than {self._MOST} bytes')
        return size


def _unquote(item: str) -> str:
    item = item.strip()
    if len(item) > 1 and item[0] == item[-1] and item[0] in '\'"':
        return item[1:-1]
    return item
