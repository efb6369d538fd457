# SPDX-License-Identifier: Apache-2.0
"""Check the values that plugins set on an image before they reach the database.

A plugin is trusted code; this only keeps a slip of it from becoming an image that nobody can read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from glance_lite.domain import image as domain

_SIZES = ('size', 'virtual_size')
_MINIMA = ('min_disk', 'min_ram')
_WORDS = {'name': 255, 'disk_format': 20, 'container_format': 20}
#: Columns that plugins may write.
COLUMNS = (*_WORDS, *_SIZES, *_MINIMA)

_LARGEST = {**dict.fromkeys(_SIZES, (1 << 63) - 1), **dict.fromkeys(_MINIMA, (1 << 31) - 1)}
_NAME_LENGTH = 255


def check_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns.

    :raises ValueError: a value is not possible; the message names the attribute and the rule.
    """
    for name, value in columns.items():
        if value is None and name not in _MINIMA:
            continue
        if name in _WORDS:
            if not isinstance(value, str) or len(value) > _WORDS[name]:
                raise ValueError(f'{name} must be a string of {_WORDS[name]} characters at most')
        elif (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not (0 <= value <= _LARGEST[name])
        ):
            raise ValueError(f'{name} must be a whole number from 0 to {_LARGEST[name]}')
    return dict(columns)


def check_properties(properties: Mapping[Any, Any]) -> dict[str, str | None]:
    """Return the properties with their values as strings; None stays, and removes one.

    :raises ValueError: a name is not possible for a custom property.
    """
    checked: dict[str, str | None] = {}
    for name, value in properties.items():
        check_property_name(name)
        checked[name] = None if value is None else str(value)
    return checked


def check_property_name(name: Any) -> None:
    """Raise unless a custom property may have this name.

    :raises ValueError: the message says why.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_LENGTH:
        raise ValueError(
            f'a property name must be a string of 1 to {_NAME_LENGTH} characters, not {name!r}'
        )
    if name in domain.BASE_ATTRIBUTES | domain.RESERVED_ATTRIBUTES:
        raise ValueError(f"'{name}' is an attribute of every image, not a custom property")


def check_tags(tags: Iterable[Any]) -> Collection[str]:
    """Return the tags.

    :raises ValueError: one is not a string of at most 255 characters.
    """
    tags = sorted(tags, key=str)
    for tag in tags:
        if not isinstance(tag, str) or len(tag) > _NAME_LENGTH:
            raise ValueError(f'a tag must be a string of {_NAME_LENGTH} characters at most')
    return tags
