# SPDX-License-Identifier: Apache-2.0
"""What text an image record can hold, on every database."""

from __future__ import annotations

import re
from typing import Any

from glance_lite import exceptions

#: The last character that the Images API takes: four-byte ones (and NUL) are refused everywhere.
_LAST = '\uffff'
_SURROGATES = ('\ud800', '\udfff')

_UUID = re.compile(r'[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}')


def is_uuid(text: str) -> bool:
    """Tell whether a text can be the id of something at all."""
    return _UUID.fullmatch(text) is not None


def require_plain(text: str, what: str) -> None:
    """Raise unless every character can be kept.

    :param what: how the message calls the text.
    :raises InvalidRequest: it has NUL, half a surrogate pair, or a four-byte character.
    """
    for char in text:
        if char > _LAST:
            raise exceptions.InvalidRequest(f'{what} has a four-byte Unicode character.')
        if char == '\0' or _SURROGATES[0] <= char <= _SURROGATES[1]:
            raise exceptions.InvalidRequest(f'{what} has a character that is not text.')


def require_plain_values(data: dict[str, Any]) -> None:
    """Apply :func:`require_plain` to the names, strings and lists of strings of an object."""
    for name, value in data.items():
        require_plain(name, 'The name of an attribute')
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str):
                require_plain(part, f'The attribute {name[:100]}')
