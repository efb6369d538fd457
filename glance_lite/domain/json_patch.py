# SPDX-License-Identifier: Apache-2.0
"""The two patch languages of the Images API, read into one list of changes.

``openstack-images-v2.1-json-patch`` is JSON patch (RFC 6902) with add, replace and remove;
``openstack-images-v2.0-json-patch`` is the draft before it, ``{"replace": "/name", "value": 1}``.
Pointers are JSON pointers (RFC 6901) to an attribute of the image, one level deep, or to one of its
locations: ``/locations/0``, and ``/locations/-`` behind the last.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from glance_lite import exceptions

OPS = ('add', 'remove', 'replace')
TYPE_2_0 = 'application/openstack-images-v2.0-json-patch'
TYPE_2_1 = 'application/openstack-images-v2.1-json-patch'
MEDIA_TYPES = (TYPE_2_1, TYPE_2_0)
LOCATIONS = 'locations'
#: The index of the place behind the last location.
END = -1

_BAD_ESCAPE = re.compile(r'~(?![01])')
#: RFC 6901 section 4; no image has more locations than six digits count.
_INDEX = re.compile(r'0|[1-9][0-9]{0,5}')


@dataclasses.dataclass(frozen=True)
class Change:
    """One change of one attribute; ``value`` is None for remove.

    ``strict_add``: adding what is there already is a conflict (2.0) instead of a replacement.
    ``index``: the location that is meant, :data:`END` for the place behind the last; None for all.
    """

    op: str
    name: str
    value: Any = None
    strict_add: bool = False
    index: int | None = None


def parse(body: Any, media_type: str) -> list[Change]:
    """Read a patch.

    :param media_type: one of :data:`MEDIA_TYPES`.
    :raises InvalidRequest: naming the operation (counted from 1) and the rule that it breaks.
    """
    if not isinstance(body, list):
        raise exceptions.InvalidRequest('A patch must be a JSON array of operations.')
    read = _read_2_1 if media_type == TYPE_2_1 else _read_2_0
    changes = []
    for number, item in enumerate(body, 1):
        if not isinstance(item, dict):
            raise _wrong(number, 'it must be an object')
        op, pointer = read(number, item)
        if op != 'remove' and 'value' not in item:
            raise _wrong(number, f"{op} needs the member 'value'")
        name, *rest = _read_pointer(number, pointer)
        index = _read_index(number, op, name, rest)
        changes.append(Change(op, name, item.get('value'), media_type == TYPE_2_0, index))
    return changes


def _read_2_1(number: int, item: dict[str, Any]) -> tuple[str, Any]:
    op = item.get('op')
    if op not in OPS:
        raise _wrong(number, f"'op' must be one of {', '.join(OPS)}")
    if 'path' not in item:
        raise _wrong(number, "it needs the member 'path'")
    return op, item['path']


def _read_2_0(number: int, item: dict[str, Any]) -> tuple[str, Any]:
    ops = [op for op in OPS if op in item]
    if len(ops) != 1:
        raise _wrong(number, f'it needs exactly one of the members {", ".join(OPS)}')
    return ops[0], item[ops[0]]


def _read_pointer(number: int, pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or not pointer.startswith('/'):
        raise _wrong(number, 'its path must be a string that begins with "/"')
    if _BAD_ESCAPE.search(pointer):
        raise _wrong(number, 'its path has "~" without 0 or 1 behind it')
    parts = [part.replace('~1', '/').replace('~0', '~') for part in pointer[1:].split('/')]
    if '' in parts:
        raise _wrong(number, 'its path has an empty part')
    return parts


def _read_index(number: int, op: str, name: str, rest: list[str]) -> int | None:
    if not rest:
        return None
    if name != LOCATIONS or len(rest) > 1:
        raise _wrong(number, 'its path must name one attribute of the image')
    if op == 'replace':
        raise _wrong(number, 'single locations are added and removed, and only all are replaced')
    if rest[0] == '-' and op == 'add':
        return END
    if not _INDEX.fullmatch(rest[0]):
        raise _wrong(number, 'its path must end with the number of a location')
    return int(rest[0])


def _wrong(number: int, rule: str) -> exceptions.InvalidRequest:
    return exceptions.InvalidRequest(f'Operation {number} of the patch: {rule}.')
