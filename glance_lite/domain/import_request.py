# SPDX-License-Identifier: Apache-2.0
"""What the body of an import asks for (Images API v2, "Import an image").

Only what the body itself decides; the state of the image and the URL filter are asked later.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection
from typing import Any

from glance_lite import exceptions
from glance_lite.domain import image as domain

GLANCE_DIRECT = 'glance-direct'
WEB_DOWNLOAD = 'web-download'
COPY_IMAGE = 'copy-image'
#: What the plan of a location has in place of an import method; no request can name it.
LOCATION = 'location'
#: The same of locations that an active image was given: they are compared with what it says.
CHECK = 'check'
#: Methods of images that are active, and stay so however this ends.
OF_ACTIVE = frozenset({COPY_IMAGE, CHECK})
#: The status that an image must be in, for each method.
NEEDS_STATUS = {
    GLANCE_DIRECT: domain.UPLOADING,
    WEB_DOWNLOAD: domain.QUEUED,
    COPY_IMAGE: domain.ACTIVE,
}

_HEX = re.compile(r'[0-9a-fA-F]+')
#: Algorithms of hashlib with a fixed length, and that length in hexadecimal digits.
HASH_DIGITS = {
    name: size * 2
    for name in sorted(hashlib.algorithms_guaranteed)
    if (size := hashlib.new(name, usedforsecurity=False).digest_size)
}


@dataclasses.dataclass(frozen=True)
class Validation:
    """The hash that the downloaded bytes must have, in lower-case hex."""

    os_hash_algo: str
    os_hash_value: str


@dataclasses.dataclass(frozen=True)
class ImportRequest:
    """A request whose body is in order. ``stores`` is None when the body names none."""

    method: str
    uri: str | None = None
    stores: tuple[str, ...] | None = None
    all_stores: bool = False
    all_stores_must_succeed: bool = True
    validation: Validation | None = None


def parse(body: Any, enabled_methods: Collection[str]) -> ImportRequest:
    """Read the body of an import.

    :raises InvalidRequest: naming the field and the rule that it breaks.
    """
    if not isinstance(body, dict):
        raise _wrong('The body of an import must be a JSON object.')
    method = body.get('method')
    if 'method' not in body:
        raise _wrong("An import needs the field 'method'.")
    if not isinstance(method, dict):
        raise _wrong("'method' must be an object like {\"name\": \"web-download\"}.")
    if 'name' not in method:
        raise _wrong("An import needs the field 'method.name'.")
    name = method['name']
    if not isinstance(name, str) or name not in enabled_methods:
        raise _wrong(
            f'The import method {_short(name)} is not one of those offered here: '
            f'{", ".join(enabled_methods)}.'
        )
    return ImportRequest(
        method=name,
        uri=_parse_uri(method) if name == WEB_DOWNLOAD else None,
        stores=_parse_stores(body),
        all_stores=_parse_flag(body, 'all_stores', False),
        all_stores_must_succeed=_parse_flag(body, 'all_stores_must_succeed', True),
        validation=_parse_validation(method, name),
    )


def choose_stores(
    request: ImportRequest,
    header: str | None,
    known: Collection[str],
    default: str,
    read_only: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the ids of the stores that an import goes to.

    :param header: the value of ``X-Image-Meta-Store``, if sent. It may repeat what ``stores`` says:
        openstacksdk sends both.
    :param read_only: those of the known that take no data.
    :raises InvalidRequest: the ways to choose are not of one opinion.
    :raises Conflict: a store is not known, or takes no data.
    """
    if request.all_stores and (request.stores or header):
        raise _wrong("'all_stores' cannot be used with 'stores' or the header X-Image-Meta-Store.")
    if request.stores and header and request.stores != (header,):
        raise _wrong("'stores' and the header X-Image-Meta-Store name different stores.")
    if request.all_stores:
        return tuple(store_id for store_id in known if store_id not in read_only)
    chosen = request.stores or ((header,) if header else (default,))
    for store_id in chosen:
        if store_id not in known:
            raise exceptions.Conflict(
                f'There is no store {_short(store_id)}; the stores are: {", ".join(known)}.'
            )
        if store_id in read_only:
            raise exceptions.Conflict(f'The store {store_id} is read-only: it takes no data.')
    return tuple(dict.fromkeys(chosen))


def lacking_stores(
    request: ImportRequest, chosen: tuple[str, ...], image: domain.Image
) -> tuple[str, ...]:
    """Return those of the chosen stores that a copy goes to: they have no data of the image yet.

    None are left where a copy to all stores finds nothing to do.

    :raises InvalidRequest: the request names a store that has the data already.
    """
    holding = {location.store for location in image.locations}
    held = [store_id for store_id in chosen if store_id in holding]
    if held and not request.all_stores:
        raise _wrong(f'The image has its data in the store {held[0]} already; choose another.')
    return tuple(store_id for store_id in chosen if store_id not in holding)


def _parse_uri(method: dict[str, Any]) -> str | None:
    uri = method.get('uri')
    if uri is not None and not isinstance(uri, str):
        raise _wrong("'method.uri' must be a string.")
    return uri


def _parse_flag(body: dict[str, Any], name: str, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(f"'{name}' must be true or false.")
    return value


def _parse_stores(body: dict[str, Any]) -> tuple[str, ...] | None:
    if 'stores' not in body:
        return None
    stores = body['stores']
    if not isinstance(stores, list) or not all(isinstance(store, str) for store in stores):
        raise _wrong("'stores' must be a list of store ids.")
    if not stores:
        raise _wrong("'stores' must name at least one store, or be left out.")
    return tuple(stores)


def _parse_validation(method: dict[str, Any], name: str) -> Validation | None:
    data = method.get('validation_data')
    if data is None:
        return None
    if name != WEB_DOWNLOAD:
        raise _wrong(f"'method.validation_data' can only be used with {WEB_DOWNLOAD}.")
    return parse_validation(data, 'method.validation_data', HASH_DIGITS)


def parse_validation(data: Any, field: str, algorithms: Collection[str]) -> Validation:
    """Read the hash that some content must have; its algorithm is one of ``algorithms``.

    :raises InvalidRequest: naming the field and the rule that it breaks.
    """
    if not isinstance(data, dict) or set(data) != {'os_hash_algo', 'os_hash_value'}:
        raise _wrong(
            f"'{field}' must be an object with os_hash_algo and os_hash_value and nothing else."
        )
    algo, value = data['os_hash_algo'], data['os_hash_value']
    if not isinstance(algo, str) or algo not in algorithms:
        raise _wrong(f"'os_hash_algo' must be one of: {', '.join(algorithms)}.")
    digits = HASH_DIGITS[algo]
    if not isinstance(value, str) or len(value) != digits or not _HEX.fullmatch(value):
        raise _wrong(f"'os_hash_value' must be the {digits} hexadecimal digits of a {algo}.")
    return Validation(algo, value.lower())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + '…'


def _wrong(message: str) -> exceptions.InvalidRequest:
    return exceptions.InvalidRequest(message)
