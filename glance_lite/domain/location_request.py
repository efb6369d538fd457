# SPDX-License-Identifier: Apache-2.0
"""What the body of a new location asks for (Images API v2, "Locations"). No I/O."""

from __future__ import annotations

import dataclasses
from typing import Any

from glance_lite import exceptions
from glance_lite.domain import import_request, text
from glance_lite.domain.import_request import Validation

#: Algorithms of ``validation_data`` of a location.
HASH_ALGORITHMS = ('md5', 'sha1', 'sha256', 'sha512')
#: Characters of a URL at most.
URL_LENGTH = 8192


@dataclasses.dataclass(frozen=True)
class NewLocation:
    """Where the data of an image lies, and what its hash is said to be."""

    url: str
    validation: Validation | None = None


def parse(body: Any) -> NewLocation:
    """Read the body of a new location.

    :raises InvalidRequest: naming the field and the rule that it breaks.
    """
    if not isinstance(body, dict):
        raise exceptions.InvalidRequest('The body of a location must be a JSON object.')
    unknown = set(body) - {'url', 'validation_data'}
    if unknown:
        raise exceptions.InvalidRequest(
            'A location has the fields url and validation_data and nothing else.'
        )
    return NewLocation(parse_url(body.get('url')), parse_validation(body.get('validation_data')))


def parse_url(url: Any) -> str:
    """Read a URL.

    :raises InvalidRequest: it is none, or too long.
    """
    if not isinstance(url, str) or not 1 <= len(url) <= URL_LENGTH:
        raise exceptions.InvalidRequest(
            f"A location needs the field 'url', a string of at most {URL_LENGTH} characters."
        )
    text.require_plain(url, "'url'")
    return url


def parse_validation(data: Any) -> Validation | None:
    """Read ``validation_data``: both of its fields, or nothing.

    :raises InvalidRequest: naming the rule that it breaks.
    """
    if data is None or data == {}:
        return None
    return import_request.parse_validation(data, 'validation_data', HASH_ALGORITHMS)
