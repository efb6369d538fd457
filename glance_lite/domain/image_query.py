# SPDX-License-Identifier: Apache-2.0
"""What a listing of images asks for (Images API v2, "List images"): filters, order, page."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any

from oslo_utils import timeutils

from glance_lite import exceptions
from glance_lite.domain import image as domain
from glance_lite.domain import member, text

SORT_KEYS = (
    'name',
    'status',
    'container_format',
    'disk_format',
    'size',
    'id',
    'created_at',
    'updated_at',
)
_IN_COLUMNS = frozenset({'name', 'id', 'status', 'container_format', 'disk_format'})
_TIME_COLUMNS = frozenset({'created_at', 'updated_at'})
_BOOL_COLUMNS = frozenset({'protected', 'os_hidden'})
_INT_COLUMNS = frozenset({'size', 'virtual_size', 'min_disk', 'min_ram'})
_TEXT_COLUMNS = frozenset(
    {
        'name',
        'id',
        'status',
        'container_format',
        'disk_format',
        'owner',
        'checksum',
        'os_hash_algo',
        'os_hash_value',
    }
)
_TIME_OPS = ('gt', 'gte', 'lt', 'lte', 'eq', 'neq')
_MEMBER_STATUSES = (*member.STATUSES, 'all')
_MAX_INT = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Filter:
    """One condition on a column (``column``) or on a custom property (``property``).

    ``op`` is eq, neq, gt, gte, lt, lte, or in (then ``value`` is a list).
    """

    column: str | None
    property: str | None
    op: str
    value: Any


@dataclasses.dataclass(frozen=True)
class ImageQuery:
    """A listing. ``visibility`` None: what the caller sees but for community images of others.

    ``member_status`` chooses among the images that others share with the caller; None for all.
    """

    limit: int
    marker: str | None = None
    sort: tuple[tuple[str, bool], ...] = (('created_at', True), ('id', True))
    filters: tuple[Filter, ...] = ()
    tags: tuple[str, ...] = ()
    visibility: str | None = None
    member_status: str | None = member.ACCEPTED


def parse(params: Iterable[tuple[str, str]], default_limit: int, max_limit: int) -> ImageQuery:
    """Read the parameters of a listing.

    :raises InvalidRequest: naming the parameter and the rule that it breaks.
    """
    single: dict[str, str] = {}
    tags: list[str] = []
    keys: list[str] = []
    dirs: list[str] = []
    many = {'tag': tags, 'sort_key': keys, 'sort_dir': dirs}
    filters: list[Filter] = []
    for name, value in params:
        text.require_plain(name, 'The name of a query parameter')
        text.require_plain(value, f'The query parameter {name[:100]}')
        if name in many:
            many[name].append(value)
        elif name in ('limit', 'marker', 'sort', 'visibility', 'member_status'):
            single[name] = value
        else:
            filters.append(_parse_filter(name, value))
    _require_choice(single, 'member_status', _MEMBER_STATUSES)
    member_status = single.get('member_status', member.ACCEPTED)
    visibility = single.get('visibility')
    if single.get('marker') and not text.is_uuid(single['marker']):
        raise _wrong('marker', 'must be the id of an image')
    _require_choice(single, 'visibility', (*domain.VISIBILITIES, 'all'))
    if not any(each.column == 'os_hidden' for each in filters):
        filters.append(Filter('os_hidden', None, 'eq', False))
    return ImageQuery(
        limit=parse_limit(single.get('limit'), default_limit, max_limit),
        marker=single.get('marker') or None,
        sort=parse_sort(single.get('sort'), keys, dirs, SORT_KEYS),
        filters=tuple(filters),
        tags=tuple(tags),
        visibility=visibility,
        member_status=None if member_status == 'all' else member_status,
    )


def parse_limit(given: str | None, default: int, maximum: int) -> int:
    """Return how many items a page has at most.

    :raises InvalidRequest: it is not a number, or negative.
    """
    if given is None:
        return min(default, maximum)
    try:
        limit = int(given)
    except ValueError:
        raise _wrong('limit', 'must be an integer') from None
    if limit < 0:
        raise _wrong('limit', 'must not be negative')
    return min(limit, maximum)


def parse_sort(
    combined: str | None, keys: list[str], dirs: list[str], known: tuple[str, ...]
) -> tuple[tuple[str, bool], ...]:
    """Return an order: names out of ``known``, each with whether it is descending.

    :param combined: the value of ``sort``; else ``sort_key`` and ``sort_dir`` count.
    :raises InvalidRequest: naming the parameter and the rule that it breaks.
    """
    if combined is not None:
        if keys or dirs:
            raise _wrong('sort', 'cannot be used with sort_key or sort_dir')
        pairs = [part.strip().partition(':') for part in combined.split(',')]
        keys = [key for key, _, _ in pairs]
        dirs = [direction or 'desc' for _, _, direction in pairs]
    keys = keys or ['created_at']
    dirs = dirs or ['desc']
    if len(dirs) == 1:
        dirs *= len(keys)
    if len(dirs) != len(keys):
        raise _wrong('sort_dir', 'must be given once, or once for each sort_key')
    order: dict[str, bool] = {}
    for key, direction in zip(keys, dirs, strict=True):
        if key not in known:
            raise _wrong('sort_key', f'must be one of {", ".join(known)}')
        if direction not in ('asc', 'desc'):
            raise _wrong('sort_dir', 'must be asc or desc')
        order.setdefault(key, direction == 'desc')
    last = list(order.values())[-1]
    for tie_breaker in ('created_at', 'id'):
        order.setdefault(tie_breaker, last)
    return tuple(order.items())


def _parse_filter(name: str, value: str) -> Filter:
    if name == 'changes-since':
        raise _wrong(name, 'is not supported; use updated_at=gte:<time>')
    base, _, bound = name.rpartition('_')
    if bound in ('min', 'max') and base in _INT_COLUMNS:
        return Filter(base, None, 'gte' if bound == 'min' else 'lte', _parse_int(name, value))
    if name in _BOOL_COLUMNS:
        if value.lower() not in ('true', 'false'):
            raise _wrong(name, 'must be true or false')
        return Filter(name, None, 'eq', value.lower() == 'true')
    if name in _INT_COLUMNS:
        return Filter(name, None, 'eq', _parse_int(name, value))
    if name in _TIME_COLUMNS:
        return _parse_time(name, value)
    if name in _IN_COLUMNS:
        op, colon, rest = value.partition(':')
        if colon and op == 'in':
            return Filter(name, None, 'in', _split_quoted(name, rest))
        if colon and op in _TIME_OPS and op != 'eq':
            raise _wrong(name, f"does not know the operator '{op}'")
        return Filter(name, None, 'eq', rest if colon and op == 'eq' else value)
    if name in _TEXT_COLUMNS:
        return Filter(name, None, 'eq', value)
    return Filter(None, name, 'eq', value)


def _parse_int(name: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise _wrong(name, 'must be an integer') from None
    if abs(number) > _MAX_INT:
        raise _wrong(name, 'is out of range')
    return number


def _parse_time(name: str, value: str) -> Filter:
    op, colon, rest = value.partition(':')
    if not colon or op[:1].isdigit():
        op, rest = 'eq', value
    if op not in _TIME_OPS:
        raise _wrong(name, f'has one of the operators {", ".join(_TIME_OPS)}')
    try:
        moment = timeutils.parse_isotime(rest)
    except (ValueError, OverflowError):
        raise _wrong(name, 'must be a time like 2026-01-31T12:00:00Z') from None
    try:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise _wrong(name, 'is out of range') from None
    return Filter(name, None, op, moment)


def _split_quoted(name: str, value: str) -> list[str]:
    """Split at commas; double quotes protect a comma, a backslash protects a quote."""
    parts: list[str] = []
    rest = value
    while True:
        if rest.startswith('"'):
            part, rest = _take_quoted(name, rest[1:])
        else:
            part, comma, tail = rest.partition(',')
            if '"' in part:
                raise _wrong(name, 'has a double quote in the middle of a value')
            rest = comma + tail
        parts.append(part)
        if not rest:
            return parts
        if not rest.startswith(','):
            raise _wrong(name, 'needs a comma behind a closing quote')
        rest = rest[1:]


def _take_quoted(name: str, rest: str) -> tuple[str, str]:
    taken: list[str] = []
    position = 0
    while position < len(rest):
        char = rest[position]
        if char == '\\' and rest[position + 1 : position + 2] == '"':
            taken.append('"')
            position += 2
            continue
        if char == '"':
            return ''.join(taken), rest[position + 1 :]
        taken.append(char)
        position += 1
    raise _wrong(name, 'has a quote that is not closed')


def _require_choice(given: dict[str, str], name: str, choices: tuple[str, ...]) -> None:
    if name in given and given[name] not in choices:
        raise _wrong(name, f'must be one of {", ".join(choices)}')


def _wrong(name: str, rule: str) -> exceptions.InvalidRequest:
    return exceptions.InvalidRequest(f'The query parameter {name[:100]} {rule}.')
