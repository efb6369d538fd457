# SPDX-License-Identifier: Apache-2.0
"""Option types that forgive the two spellings of a list: ``[a, b]`` and ``a, b``.

Only types; options are in the sibling modules.
"""

from __future__ import annotations

import hashlib
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


def _unquote(item: str) -> str:
    item = item.strip()
    if len(item) > 1 and item[0] == item[-1] and item[0] in '\'"':
        return item[1:-1]
    return item
