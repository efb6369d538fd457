# SPDX-License-Identifier: Apache-2.0
"""Numbers and foreign text as a person reads them on a terminal."""

from __future__ import annotations

import html
import re
import unicodedata

_TAG = re.compile(r'<[^<>]{1,40}>')
_UNITS = ('KiB', 'MiB', 'GiB', 'TiB', 'PiB')


def clean(value: object, limit: int = 2000) -> str:
    """Return foreign text on one line, without control characters that a terminal would obey."""
    seen = ''.join(
        ' ' if unicodedata.category(letter) in ('Cc', 'Cf', 'Zl', 'Zp') else letter
        for letter in str(value)[:limit]
    )
    return ' '.join(seen.split())


def without_markup(value: str) -> str:
    """Return the words of an HTML or plain error page."""
    return clean(html.unescape(_TAG.sub(' ', value)))


def size(count_bytes: int) -> str:
    """Return a number of bytes with a binary unit: ``1536`` is ``1.5 KiB``."""
    if count_bytes < 1024:
        return f'{count_bytes} B'
    amount = float(count_bytes)
    for unit in _UNITS:
        amount /= 1024
        if amount < 1000 or unit == _UNITS[-1]:
            break
    return f'{amount:.1f} {unit}'


def rate(bytes_per_second: float) -> str:
    """Return a speed: ``3.0 MiB/s``."""
    return f'{size(int(bytes_per_second))}/s'


def span(seconds: float) -> str:
    """Return a time span: ``0.4 s``, ``12 s``, ``3:05``, ``2:03:05``."""
    if seconds < 10:
        return f'{seconds:.1f} s'
    if seconds < 60:
        return f'{seconds:.0f} s'
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'
