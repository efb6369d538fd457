# SPDX-License-Identifier: Apache-2.0
"""A location as a patch of an image gives it (Images API v2, "Update an image"). No I/O."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from glance_lite import exceptions
from glance_lite.domain import import_request, location_request, text

#: Characters of the metadata of a location, as JSON.
METADATA_LENGTH = 4096
_MD5 = re.compile(r'[0-9a-fA-F]{32}')


@dataclasses.dataclass(frozen=True)
class GivenLocation:
    """Where data lies, and what is said of it. ``hashes`` has attributes of the image."""

    url: str
    metadata: dict[str, Any]
    store: str | None = None
    hashes: dict[str, str] = dataclasses.field(default_factory=dict)


def parse(value: Any) -> GivenLocation:
    """Read one location.

    :raises InvalidRequest: naming the field and the rule that it breaks.
    """
    if not isinstance(value, dict) or not set(value) <= {'url', 'metadata', 'validation_data'}:
        raise exceptions.InvalidRequest(
            'A location is an object with url, metadata and validation_data and nothing else.'
        )
    metadata = _parse_metadata(value.get('metadata', {}))
    store = metadata.pop('store', None)
    if not isinstance(store, str | None):
        raise exceptions.InvalidRequest("'metadata.store' must be the id of a store.")
    return GivenLocation(
        location_request.parse_url(value.get('url')),
        metadata,
        store,
        _parse_hashes(value.get('validation_data')),
    )


def parse_all(value: Any) -> list[GivenLocation]:
    """Read a list of locations; errors as of :func:`parse`."""
    if not isinstance(value, list):
        raise exceptions.InvalidRequest("'locations' must be a list.")
    return [parse(item) for item in value]


def _parse_metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise exceptions.InvalidRequest("'metadata' of a location must be an object.")
    shown = json.dumps(value, ensure_ascii=False)
    if len(shown) > METADATA_LENGTH:
        raise exceptions.InvalidRequest(
            f"'metadata' of a location may have {METADATA_LENGTH} characters at most."
        )
    text.require_plain(shown, "'metadata' of a location")
    return dict(value)


def _parse_hashes(value: Any) -> dict[str, str]:
    if value is None or value == {}:
        return {}
    if not isinstance(value, dict):
        raise exceptions.InvalidRequest("'validation_data' must be an object.")
    rest = dict(value)
    found = {}
    if 'checksum' in rest:
        checksum = rest.pop('checksum')
        if not isinstance(checksum, str) or not _MD5.fullmatch(checksum):
            raise exceptions.InvalidRequest("'checksum' must be the 32 hexadecimal digits of MD5.")
        found['checksum'] = checksum.lower()
    hashes = import_request.parse_validation(rest, 'validation_data', import_request.HASH_DIGITS)
    return {**found, **dataclasses.asdict(hashes)}
