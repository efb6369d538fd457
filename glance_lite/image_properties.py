# SPDX-License-Identifier: Apache-2.0
"""Custom properties that the operator describes in ``schema-image.json``, read once.

The file is the one of Glance: names with the JSON schema of each, or an object with ``properties``
and ``required``. Where values are checked is the business of ``api/attributes.py``; what plugins
and the service itself write is the operator's own, and is not.

``python -m glance_lite.image_properties FILE`` writes a sample.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jsonschema
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.domain import image as domain
from glance_lite.domain.image_rules import NAME_LENGTH

FILE = 'schema-image.json'

_UUID = '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$'
#: What clouds agree on; the file begins as this.
SAMPLE: dict[str, dict[str, Any]] = {
    'architecture': {
        'type': 'string',
        'description': 'The processor architecture that the image is made for, such as x86_64.',
    },
    'instance_uuid': {
        'type': 'string',
        'description': 'The id of the server of which the image is a snapshot.',
    },
    'kernel_id': {
        'type': ['null', 'string'],
        'pattern': _UUID,
        'description': 'The id of the image with the kernel of an image of the format ami.',
    },
    'os_distro': {
        'type': 'string',
        'description': 'The distribution in lower case, such as debian.',
    },
    'os_version': {
        'type': 'string',
        'description': 'The version, as the distribution writes it.',
    },
    'ramdisk_id': {
        'type': ['null', 'string'],
        'pattern': _UUID,
        'description': 'The id of the image with the initial RAM disk of an image of the format '
        'ami.',
    },
}


@dataclasses.dataclass(frozen=True, eq=False)
class ImageProperties:
    """The schemas by name, and the names that every new image must have."""

    schemas: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    required: frozenset[str] = frozenset()

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> ImageProperties:
        """Read the file that lies beside the configuration; without one nothing is described.

        :raises ConfigError: it cannot be used; naming the property.
        """
        path = conf.find_file(FILE)
        if path is None:
            return cls()
        try:
            with open(path, encoding='utf-8') as file:
                return parse(json.load(file))
        except OSError as error:
            raise _wrong(f'it cannot be read: {error.strerror}') from error
        except (ValueError, RecursionError) as error:
            raise _wrong(f'it is not JSON: {error}') from error

    def misfits(self, values: Mapping[str, str]) -> list[str]:
        """Return the names of the values that do not fit their schemas."""
        return sorted(
            name
            for name, value in values.items()
            if name in self.schemas
            and not jsonschema.Draft202012Validator(self.schemas[name]).is_valid(value)
        )


def parse(content: Any) -> ImageProperties:
    """Judge the content of the file.

    :raises ConfigError: naming the property and the rule that it breaks.
    """
    if not isinstance(content, dict):
        raise _wrong('it must be an object with a schema for each name')
    schemas, required = content, []
    if set(content) <= {'properties', 'required'}:
        schemas, required = content.get('properties', {}), content.get('required', [])
    if not isinstance(schemas, dict):
        raise _wrong("'properties' must be an object with a schema for each name")
    for name, schema in schemas.items():
        _check(name, schema)
    names = [*schemas]
    if not isinstance(required, list) or not all(name in names for name in required):
        raise _wrong("'required' must be a list of names that stand in 'properties'")
    return ImageProperties(schemas, frozenset(required))


def _check(name: str, schema: Any) -> None:
    taken = name in domain.BASE_ATTRIBUTES or name in domain.RESERVED_ATTRIBUTES
    if taken or name.startswith(domain.RESERVED_PREFIX):
        raise _wrong(f"'{name}' is an attribute of the service's own")
    if not 1 <= len(name) <= NAME_LENGTH:
        raise _wrong(f'the name of a property has 1 to {NAME_LENGTH} characters')
    if not isinstance(schema, dict):
        raise _wrong(f"the schema of '{name}' must be an object")
    kinds = schema.get('type', 'string')
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not all(kind in ('string', 'null') for kind in kinds):
        raise _wrong(f"the type of '{name}' must be string, as the API keeps properties as text")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise _wrong(f"the schema of '{name}' is none: {error.message}") from error


def _wrong(rule: str) -> exceptions.ConfigError:
    return exceptions.ConfigError(f'{FILE}: {rule}.')


if __name__ == '__main__':
    pathlib.Path(sys.argv[1]).write_text(json.dumps(SAMPLE, indent=4) + '\n')
