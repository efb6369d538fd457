# SPDX-License-Identifier: Apache-2.0
"""Rules of what a request may write to an image: names, locks and quotas. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from glance_lite import exceptions
from glance_lite.domain import image as domain
from glance_lite.domain import text

#: Attributes that a request may write, beside custom properties.
WRITABLE = (
    'name',
    'visibility',
    'protected',
    'os_hidden',
    'owner',
    'disk_format',
    'container_format',
    'min_disk',
    'min_ram',
    'tags',
)
#: Statuses in which the formats may still be chosen: before any import or upload looks at them.
FORMATS_OPEN = (domain.QUEUED, domain.UPLOADING)
NAME_LENGTH = 255


def require_writable(name: str) -> None:
    """Raise unless a request may write an attribute of this name.

    :raises Forbidden: the service alone writes it, or nobody may have it.
    """
    if name in domain.READ_ONLY_ATTRIBUTES:
        raise exceptions.Forbidden(f"The attribute '{name}' is read-only.")
    if name in domain.RESERVED_ATTRIBUTES or name.startswith(domain.RESERVED_PREFIX):
        raise exceptions.Forbidden(f"The attribute '{name}' is reserved.")


def require_property_name(name: str) -> None:
    """Raise unless a custom property may have this name.

    :raises InvalidRequest: it is empty or too long.
    """
    if not 1 <= len(name) <= NAME_LENGTH:
        raise exceptions.InvalidRequest(
            f'The name of a custom property has 1 to {NAME_LENGTH} characters.'
        )


def require_tag(value: str) -> None:
    """Raise unless an image may have this tag.

    :raises InvalidRequest: it is empty, too long, or has a character that cannot be kept.
    """
    if not 1 <= len(value) <= NAME_LENGTH:
        raise exceptions.InvalidRequest(f'A tag has 1 to {NAME_LENGTH} characters.')
    text.require_plain(value, 'The tag')


def require_formats(image: domain.Image, error: type[exceptions.GlanceLiteError]) -> None:
    """Raise ``error`` unless both formats of an image are chosen."""
    missing = [name for name in ('container_format', 'disk_format') if getattr(image, name) is None]
    if missing:
        raise error(f'{" and ".join(missing)} must be set before the image gets data.')


def check_quota(items: Iterable[object], limit: int, what: str, had: int = 0) -> None:
    """Raise when there are more items than a limit; a limit below 0 is none.

    :param had: how many there were before; so many may stay.

    :raises LimitExceeded: naming what there is too much of.
    """
    count = sum(1 for _ in items)
    if 0 <= limit < count and count > had:
        raise exceptions.LimitExceeded(
            f'An image may have {limit} {what} at most; this one would have {count}.'
        )


def own_properties(names: Iterable[str]) -> list[str]:
    """Return the names that are not the service's."""
    return [name for name in names if not name.startswith(domain.RESERVED_PREFIX)]
