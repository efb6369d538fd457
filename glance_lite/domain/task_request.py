# SPDX-License-Identifier: Apache-2.0
"""What the body of a new task asks for: an image out of what a URL has.

Only what the body itself decides. The attributes of the image are checked as those of any other,
the URL filter is asked later.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Any

from glance_lite import exceptions
from glance_lite.domain import image as image_domain
from glance_lite.domain import task as domain

#: The schemes of ``import_from``.
SCHEMES = ('http', 'https', 'swift')
SWIFT = 'swift'
CONTAINER_FORMAT = 'bare'
#: What messages show of a body that is right.
EXAMPLE = (
    '{"type": "import", "input": {"import_from": "https://example.org/disk.qcow2", '
    '"import_from_format": "qcow2", "image_properties": {"name": "my image"}}}'
)

_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*):')
_MADE_ELSEWHERE = {
    domain.IMAGE_IMPORT: '/v2/images/<id>/import',
    domain.LOCATION_IMPORT: '/v2/images/<id>/locations',
}
_FIELDS = ('import_from', 'import_from_format', 'image_properties')


@dataclasses.dataclass(frozen=True)
class TaskRequest:
    """A body that is in order. ``source`` is the URL as given."""

    source: str
    disk_format: str
    image_properties: dict[str, Any]

    @property
    def scheme(self) -> str:
        """The scheme of the source, in lower case."""
        return scheme_of(self.source)


def scheme_of(source: str) -> str:
    """Return the scheme of a URL in lower case; empty if it has none."""
    match = _SCHEME.match(source)
    return match[1].lower() if match else ''


def parse(body: Any, disk_formats: Collection[str]) -> TaskRequest:
    """Read the body of a new task.

    :raises InvalidRequest: naming the field and the rule that it breaks.
    """
    if not isinstance(body, dict):
        raise _wrong(f'The body of a task must be a JSON object like {EXAMPLE}.')
    _require_fields(body, ('type', 'input'), '')
    _require_type(body['type'])
    given = body['input']
    if not isinstance(given, dict):
        raise _wrong(f"'input' must be an object; a whole body looks like {EXAMPLE}.")
    _require_fields(given, _FIELDS, 'input.')
    if not isinstance(given['image_properties'], dict):
        raise _wrong(
            '\'input.image_properties\' must be an object like {"name": "my image"}, with the '
            'attributes that a new image takes.'
        )
    return TaskRequest(
        _require_source(given['import_from']),
        _require_format(given['import_from_format'], disk_formats),
        given['image_properties'],
    )


def finish_image(image: image_domain.Image, wanted: TaskRequest) -> None:
    """Give the image that a task is to make the formats that follow from the request.

    :raises InvalidRequest: it is to have another format than the data comes in.
    """
    if image.disk_format not in (None, wanted.disk_format):
        raise _wrong(
            "'input.image_properties.disk_format' must be the same as 'input.import_from_format', "
            'or be left out: data is only converted where the service does so by itself.'
        )
    image.disk_format = wanted.disk_format
    if image.container_format is None:
        image.container_format = CONTAINER_FORMAT


def _require_fields(given: dict[str, Any], names: tuple[str, ...], prefix: str) -> None:
    for name in names:
        if name not in given:
            raise _wrong(f"A task needs the field '{prefix}{name}'.")
    for name in given:
        if name not in names:
            raise _wrong(
                f"A task has no field '{prefix}{name[:100]}'; the fields are "
                f'{", ".join(prefix + each for each in names)}.'
            )


def _require_type(kind: Any) -> None:
    if isinstance(kind, str) and kind in _MADE_ELSEWHERE:
        where = _MADE_ELSEWHERE[kind]
        raise _wrong(f"'type' cannot be {kind}: such tasks are made by POST {where}.")
    if kind != domain.IMPORT:
        raise _wrong(f"'type' must be '{domain.IMPORT}'.")


def _require_source(source: Any) -> str:
    if not isinstance(source, str):
        raise _wrong("'input.import_from' must be a string with a URL.")
    schemes = f'{", ".join(SCHEMES[:-1])} or {SCHEMES[-1]}'
    if not source.strip():
        raise _wrong(
            f"'input.import_from' is empty; it must be a URL whose scheme is {schemes}, "
            'like https://example.org/disk.qcow2.'
        )
    if scheme_of(source) not in SCHEMES:
        raise _wrong(f"'input.import_from' must be a URL whose scheme is {schemes}.")
    return source


def _require_format(disk_format: Any, known: Collection[str]) -> str:
    if not isinstance(disk_format, str) or disk_format not in known:
        raise _wrong(f"'input.import_from_format' must be one of: {', '.join(known)}.")
    return disk_format


def _wrong(message: str) -> exceptions.InvalidRequest:
    return exceptions.InvalidRequest(message)
