# SPDX-License-Identifier: Apache-2.0
"""The two patch languages of the Images API, read into one list of changes.

``openstack-images-v2.1-json-patch`` is JSON patch (RFC 6902) with add, replace and remove;
``openstack-images-v2.0-json-patch`` is the draft before it, ``{"replace": "/name", "value": 1}``.
Pointers are JSON pointers (RFC 6901) to an attribute of the image, one level deep.
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

_BAD_ESCAPE = re.compile(r'~(?![01])')


@dataclasses.dataclass(frozen=True)
class Change:
    """One change of one attribute; ``value`` is None for remove.

    ``strict_add``: adding what is there already is a conflict (2.0) instead of a replacement.
    """

    op: str
    name: str
    value: Any = None
    strict_add: bool = False


def parse(body: Any, media_type: str) -> list[Change]:
    """Read a patch.

    :param media_type: one of :data:`MEDIA_TYPES`.
    :raises InvalidRequest: naming the operation (counted from 1) and the rule that it breaks.
    :raises Forbidden: it points into ``locations``.
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
        name = _read_pointer(number, pointer)
        changes.append(Change(op, name, item.get('value'), media_type == TYPE_2_0))
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


def _read_pointer(number: int, pointer: Any) -> str:
    if not isinstance(pointer, str) or not pointer.startswith('/'):
        raise _wrong(number, 'its path must be a string that begins with "/"')
    if _BAD_ESCAPE.search(pointer):
        raise _wrong(number, 'its path has "~" without 0 or 1 behind it')
    parts = [part.replace('~1', '/').replace('~0', '~') for part in pointer[1:].split('/')]
    if '' in parts:
        raise _wrong(number, 'its path has an empty part')
    if parts[0] == 'locations':
        raise exceptions.Forbidden('The locations of an image cannot be changed here.')
    if len(parts) > 1:
        raise _wrong(number, 'its path must name one attribute of the image')
    return parts[0]


def _wrong(number: int, rule: str) -> exceptions.InvalidRequest:
    return exceptions.InvalidRequest(f'Operation {number} of the patch: {rule}.')
