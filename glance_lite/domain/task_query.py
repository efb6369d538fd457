# SPDX-License-Identifier: Apache-2.0
"""What a request for tasks asks for: filters, order, page, and for how long it waits."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from glance_lite import exceptions
from glance_lite.domain import image_query, text
from glance_lite.domain import task as domain

SORT_KEYS = ('id', 'type', 'status', 'created_at', 'updated_at')
STATUSES = (domain.PENDING, domain.PROCESSING, domain.SUCCESS, domain.FAILURE)
#: Proxies drop what is silent for longer.
MOST_WAIT_SECONDS = 60
_SECONDS = re.compile(r'[0-9]{1,9}')
_SINGLE = ('limit', 'marker', 'sort', 'status', 'type')


@dataclasses.dataclass(frozen=True)
class TaskQuery:
    """A listing; ``status`` and ``type`` are None for any. ``sort`` has names and descending."""

    limit: int
    marker: str | None = None
    sort: tuple[tuple[str, bool], ...] = (('created_at', True), ('id', True))
    status: str | None = None
    type: str | None = None


def parse(params: Iterable[tuple[str, str]], default_limit: int, max_limit: int) -> TaskQuery:
    """Read the parameters of a listing.

    :raises InvalidRequest: naming the parameter and the rule that it breaks.
    """
    single: dict[str, str] = {}
    many: dict[str, list[str]] = {'sort_key': [], 'sort_dir': []}
    for name, value in params:
        text.require_plain(value, f'The query parameter {name[:100]}')
        if name in many:
            many[name].append(value)
        elif name in _SINGLE:
            single[name] = value
        else:
            raise _wrong(name, f'is none of a list of tasks; they are {", ".join(_PARAMETERS)}')
    for name, choices in (('status', STATUSES), ('type', domain.TYPES)):
        if name in single and single[name] not in choices:
            raise _wrong(name, f'must be one of {", ".join(choices)}')
    if single.get('marker') and not text.is_uuid(single['marker']):
        raise _wrong('marker', 'must be the id of a task')
    return TaskQuery(
        limit=image_query.parse_limit(single.get('limit'), default_limit, max_limit),
        marker=single.get('marker') or None,
        sort=image_query.parse_sort(
            single.get('sort'), many['sort_key'], many['sort_dir'], SORT_KEYS
        ),
        status=single.get('status'),
        type=single.get('type'),
    )


_PARAMETERS = ('status', 'type', 'sort_key', 'sort_dir', 'sort', 'limit', 'marker')


def parse_wait(params: Iterable[tuple[str, str]]) -> int:
    """Return for how many seconds an answer may wait for a change; 0 if nothing is said.

    :raises InvalidRequest: it is no whole number that may be waited.
    """
    given = dict(params).get('wait', '0')
    if not _SECONDS.fullmatch(given) or int(given) > MOST_WAIT_SECONDS:
        raise _wrong('wait', f'must be a whole number of seconds from 0 to {MOST_WAIT_SECONDS}')
    return int(given)


def _wrong(name: str, rule: str) -> exceptions.InvalidRequest:
    return exceptions.InvalidRequest(f'The query parameter {name[:100]} {rule}.')
