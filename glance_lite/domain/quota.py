# SPDX-License-Identifier: Apache-2.0
"""What a project may have of images and of their data, and whether more fits. No I/O.

What it has is counted in ``db/usage.py``; where limits come from is the business of ``quotas.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from glance_lite import exceptions

MIB = 1 << 20

#: The fields of :class:`Limits`, for whoever looks up some of them.
STORED, STAGED, IMAGES, ARRIVING = 'stored', 'staged', 'images', 'arriving'
#: From each of them to its name in the Images API and in Keystone, and what one of it is there.
RESOURCES = {
    STORED: ('image_size_total', MIB),
    STAGED: ('image_stage_total', MIB),
    IMAGES: ('image_count_total', 1),
    ARRIVING: ('image_count_uploading', 1),
}


@dataclasses.dataclass(frozen=True)
class Limit:
    """The name by which an operator knows a limit, and the most that it permits."""

    name: str
    most: int


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of a project; None where there is none.

    :ivar stored: bytes in stores, each copy counted.
    :ivar staged: bytes in the staging area.
    :ivar images: images, with data or without.
    :ivar arriving: images whose data is being uploaded, imported or copied, or waits for that.
    :ivar shared: what is stored counts against ``staged``, too.
    """

    stored: Limit | None = None
    staged: Limit | None = None
    images: Limit | None = None
    arriving: Limit | None = None
    shared: bool = False

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.stored or self.staged or self.images or self.arriving)

    def to_record(self) -> dict[str, Any]:
        """Return what there is as JSON data, for the plan of an import."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}

    @classmethod
    def from_record(cls, record: dict[str, Any] | None) -> Limits:
        """Rebuild what :meth:`to_record` returned; no limits from None."""
        found = dict(record or {})
        shared = found.pop('shared', False)
        return cls(**{name: Limit(**value) for name, value in found.items()}, shared=shared)


@dataclasses.dataclass(frozen=True)
class Room:
    """What is left of a limit of bytes, for data of which so many copies are to be made."""

    limit: Limit
    used: int
    copies: int = 1

    def require(self, size: int | None) -> None:
        """Raise unless data of so many bytes fits; None for a size that is not known yet.

        :raises LimitExceeded: naming the limit.
        """
        wanted = max(1, self.copies if size is None else size * self.copies)
        if self.used + wanted <= self.limit.most or size == 0:
            return
        raise exceptions.LimitExceeded(
            f'The limit {self.limit.name} of the project is {self.limit.most} bytes, and '
            f'{self.used} are used; '
            + ('no more fits.' if size is None else f'{wanted} more do not fit.')
        )


class Budget:
    """Counts bytes while they pass, and stops those that do not fit."""

    def __init__(self, rooms: Iterable[Room]) -> None:
        self._rooms = tuple(rooms)
        self._taken = 0

    def require(self, size: int | None) -> None:
        """Raise unless data of so many bytes fits; None for a size that is not known yet.

        :raises LimitExceeded: naming the limit.
        """
        for room in self._rooms:
            room.require(size)

    def spend(self, count: int) -> None:
        """Count so many bytes more.

        :raises LimitExceeded: they do not fit.
        """
        self._taken += count
        self.require(self._taken)


def require_one_more(limit: Limit | None, used: int, what: str) -> None:
    """Raise unless a project that has so many may have one more.

    :raises LimitExceeded: naming the limit.
    """
    if limit is not None and used >= limit.most:
        raise exceptions.LimitExceeded(
            f'The limit {limit.name} of the project is {limit.most} {what}, and {used} are used.'
        )
