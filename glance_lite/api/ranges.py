# SPDX-License-Identifier: Apache-2.0
"""The range of image data that a request asks for (RFC 9110 section 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from glance_lite import exceptions

_RANGE = re.compile(r'\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*', re.ASCII | re.IGNORECASE)
#: Tolerated in requests, as older clients send it in place of Range.
_CONTENT_RANGE = re.compile(r'\s*bytes\s+(\d+)-(\d+)/(?:\d+|\*)\s*', re.ASCII | re.IGNORECASE)


def parse(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return offset and length in bytes, None for all of the data.

    :param size: bytes of the data.
    :raises InvalidRequest: more than one range.
    :raises RangeNotSatisfiable: a range outside the data, or not of bytes.
    """
    given = headers.get('Range')
    if given is None:
        older = headers.get('Content-Range')
        if older is None:
            return None
        match = _CONTENT_RANGE.fullmatch(older)
        first, last = match.groups() if match else ('', '')
    elif ',' in given:
        raise exceptions.InvalidRequest('One range at a time: ask for several one after another.')
    else:
        match = _RANGE.fullmatch(given)
        first, last = match.groups() if match else ('', '')
    start, end = _bounds(first, last, size)
    if not 0 <= start <= end or start >= size:
        raise exceptions.RangeNotSatisfiable(
            f'The range must be like bytes=0-99 and begin inside the {size} bytes of the data.',
            size,
        )
    return start, end - start + 1


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """Return the first and last byte; impossible ones when there is neither."""
    if len(first) > 19 or len(last) > 19:
        return size, size
    if first:
        return int(first), min(int(last), size - 1) if last else size - 1
    if last:
        return max(0, size - int(last)), size - 1 if int(last) else -1
    return size, size
