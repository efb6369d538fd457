# SPDX-License-Identifier: Apache-2.0
"""Check data against a JSON schema, and say in a sentence which field breaks which rule."""

from __future__ import annotations

from typing import Any

import jsonschema
from jsonschema import exceptions as schema_exceptions

from glance_lite import exceptions

_SHOWN = 80
_TYPES = {
    'string': 'a string',
    'integer': 'an integer',
    'boolean': 'true or false',
    'null': 'null',
    'array': 'a list',
    'object': 'an object',
}


def _is_integer(checker: Any, value: Any) -> bool:
    # 1.0 is an integer to JSON schema, and not to a column
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine('integer', _is_integer),
)


def make_validator(schema: dict[str, Any]) -> jsonschema.protocols.Validator:
    """Return what checks data against a schema."""
    return _Validator(schema)


def check(validator: jsonschema.protocols.Validator, data: Any, whole: str) -> None:
    """Raise unless the data fits.

    :param whole: how the message calls the data when no field of it is to blame.
    :raises InvalidRequest: naming the field and the rule.
    """
    error = schema_exceptions.best_match(validator.iter_errors(data))
    if error is not None:
        field = '.'.join(str(part) for part in error.absolute_path) or whole
        raise exceptions.InvalidRequest(f'{_cut(field)} {_rule(error)}.')


def _rule(error: Any) -> str:
    kind, value = error.validator, error.validator_value
    if kind == 'type':
        kinds = [value] if isinstance(value, str) else value
        return f'must be {" or ".join(_TYPES.get(name, name) for name in kinds)}'
    if kind == 'enum':
        return f'must be one of: {", ".join(str(item or "null") for item in value)}'
    if kind == 'required':
        return f'must have {", ".join(name for name in value if name not in error.instance)}'
    if kind == 'maxLength':
        return f'may have {value} characters at most'
    if kind == 'minLength':
        return 'must not be empty' if value == 1 else f'must have {value} characters at least'
    if kind in ('maximum', 'minimum'):
        return f'must be {value} at {"most" if kind == "maximum" else "least"}'
    if kind == 'pattern':
        return (
            'must be a UUID'
            if 'uuid' in str(error.schema.get('format', ''))
            else (f'must match {value}')
        )
    return f'breaks the rule {kind}'


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + '…'
