# SPDX-License-Identifier: Apache-2.0
"""Properties that the operator describes: told by the schemas, and held to in requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from glance_lite import deploy
from glance_lite.image_properties import SAMPLE

from .conftest import Api, error

OWN = {
    'approved': {'type': 'string', 'enum': ['yes', 'no'], 'description': 'Seen by the operator.'},
    'kernel_id': SAMPLE['kernel_id'],
}
#: By this clients know that a property can be removed.
SHOWN = {name: {**schema, 'is_base': False} for name, schema in OWN.items()}
KERNEL = '0b0e4e58-1ba9-4f5a-8a8e-7a6e9e5f7a01'


@pytest.fixture
def make(make_api: Callable[..., Api], tmp_path: Path) -> Callable[..., Api]:
    def build(content: Any) -> Api:
        (tmp_path / 'schema-image.json').write_text(json.dumps(content))
        return make_api()

    return build


@pytest.fixture
def api(make: Callable[..., Api]) -> Api:
    return make(OWN)


@pytest.fixture
def strict(make: Callable[..., Api]) -> Api:
    return make({'properties': OWN, 'required': ['approved']})


def patch(api: Api, path: str, op: str, name: str, value: Any = None) -> Any:
    return api.call('PATCH', path, [{'op': op, 'path': f'/{name}', 'value': value}])


def test_the_schemas_tell_of_them(api: Api) -> None:
    image = api.get('/v2/schemas/image').json
    images = api.get('/v2/schemas/images').json['properties']['images']['items']
    for schema in (image, images):
        assert schema['properties']['approved'] == SHOWN['approved']
        assert schema['properties']['kernel_id'] == SHOWN['kernel_id']
        assert schema['properties']['status']['readOnly']
    shown = api.get(api.create(approved='yes', free='x')).json
    jsonschema.validate(shown, image)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**shown, 'approved': 'maybe'}, image)


def test_values_are_held_to_them(api: Api) -> None:
    for name, value in (('approved', 'maybe'), ('approved', None), ('approved', 5),
                        ('kernel_id', 'x'), ('kernel_id', 5), ('free', None)):  # fmt: skip
        answer = api.call('POST', '/v2/images', {name: value})
        assert error(answer) == (400, 'invalid_request') and name in answer.text
    path = api.create(approved='yes', kernel_id=KERNEL)
    for op in ('add', 'replace'):
        answer = patch(api, path, op, 'approved', 'maybe')
        assert error(answer) == (400, 'invalid_request')
        assert 'must be one of: yes, no' in answer.json['error']['message']
    assert patch(api, path, 'replace', 'approved', 'no').json['approved'] == 'no'
    assert patch(api, path, 'remove', 'approved').status_int == 200


def test_null_is_none_where_it_is_permitted(api: Api) -> None:
    path = api.create(kernel_id=None)
    assert 'kernel_id' not in api.get(path).json
    assert patch(api, path, 'add', 'kernel_id', KERNEL).json['kernel_id'] == KERNEL
    assert 'kernel_id' not in patch(api, path, 'replace', 'kernel_id', None).json
    assert 'kernel_id' not in api.get(path).json


def test_what_is_required_must_be_there_and_stays(strict: Api) -> None:
    answer = strict.call('POST', '/v2/images', {'name': 'x'})
    assert error(answer) == (400, 'invalid_request')
    assert 'must have approved' in answer.json['error']['message']
    path = strict.create(approved='yes')
    assert error(patch(strict, path, 'remove', 'approved')) == (403, 'forbidden')
    assert patch(strict, path, 'replace', 'approved', 'no').status_int == 200
    wanted = {'import_from': 'http://1.1.1.1/x', 'import_from_format': 'raw'}
    task = {'type': 'import', 'input': {**wanted, 'image_properties': {'name': 'x'}}}
    assert error(strict.call('POST', '/v2/tasks', task)) == (400, 'invalid_request')


def test_an_image_of_before_can_be_seen_and_changed(strict: Api) -> None:
    path = strict.create(approved='yes')
    with strict.services.db.writer() as session:
        session.exec_driver_sql("DELETE FROM image_properties WHERE name = 'approved'")
    shown = strict.get(path).json
    jsonschema.validate(shown, strict.get('/v2/schemas/image').json)
    assert patch(strict, path, 'replace', 'name', 'y').json['name'] == 'y'


def test_the_openapi_document_tells_of_them(strict: Api) -> None:
    schemas = strict.get('/v2/openapi.json').json['components']['schemas']
    assert schemas['NewImage']['properties']['approved'] == SHOWN['approved']
    assert schemas['NewImage']['required'] == ['approved']
    assert schemas['Image']['properties']['approved'] == SHOWN['approved']


def test_the_file_is_read_again(api: Api, tmp_path: Path) -> None:
    (tmp_path / 'schema-image.json').write_text('{"approved": {"enum": ["perhaps"]}}')
    api.services.rules = deploy.build_rules(api.services.conf)
    assert api.call('POST', '/v2/images', {'approved': 'perhaps'}).status_int == 201
    assert error(api.call('POST', '/v2/images', {'approved': 'yes'})) == (400, 'invalid_request')
