# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document tells every operation. That it tells the truth is for the run as a whole."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from glance_lite.api import routes
from glance_lite.api.openapi import document, schemas
from glance_lite.api.schemas import images
from tests import contract

from .conftest import Api

TABLE = routes.table(import_enabled=True)
IMAGE = images.image_schema(('raw', 'qcow2'), ('bare',))
OPERATIONS = [(method, path) for path, handlers in TABLE.items() for method in handlers]


@pytest.fixture(scope='module')
def built() -> dict[str, Any]:
    return document.build(TABLE, IMAGE)


def test_every_route_is_described_and_nothing_else() -> None:
    """A new route needs an entry in a module of ``api/openapi``, with its own statuses."""
    assert sorted(document.OPERATIONS) == sorted(OPERATIONS)


@pytest.mark.parametrize(('method', 'path'), OPERATIONS)
def test_a_handler_says_its_route_and_what_it_does(method: str, path: str) -> None:
    handler = TABLE[path][method]
    assert (handler.__doc__ or '').startswith(f'``{method} {path}``: ')
    assert re.fullmatch(r'[A-Z][^`]+[.]', document.summary(handler))


@pytest.mark.parametrize(('method', 'path'), OPERATIONS)
def test_an_operation_has_a_success_and_a_body_where_one_belongs(method: str, path: str) -> None:
    told = document.OPERATIONS[method, path]
    assert all(200 <= status < 300 for status in told.answers) and told.answers
    assert all(400 <= status < 600 for status in told.errors)
    assert told.body is None or method in ('POST', 'PUT', 'PATCH')


def test_the_document_is_openapi(built: dict[str, Any]) -> None:
    openapi_spec_validator.validate(built)


def test_names_of_operations_are_unique_and_links_go_to_them(built: dict[str, Any]) -> None:
    names = [
        told['operationId']
        for methods in built['paths'].values()
        for told in methods.values()
        if 'operationId' in told
    ]
    assert len(names) == len({*names}) == len(OPERATIONS)
    linked = {
        name
        for told in document.OPERATIONS.values()
        for a in told.answers.values()
        for name in a.links
    }
    assert linked <= {*names}


@pytest.mark.parametrize(
    ('method', 'path'), [key for key, told in document.OPERATIONS.items() if told.body is not None]
)
def test_an_example_fits_its_schema(built: dict[str, Any], method: str, path: str) -> None:
    body = document.OPERATIONS[method, path].body
    assert body is not None
    if body.is_json:
        name = next(iter(body.content.values()))
        schema = {'$ref': f'#/components/schemas/{name}', 'components': built['components']}
        jsonschema.Draft202012Validator(schema).validate(body.example)


def test_every_schema_is_used(built: dict[str, Any]) -> None:
    used = set(re.findall(r"'#/components/schemas/(\w+)'", str(built)))
    assert used == {*schemas.components(IMAGE)}


def test_the_page_of_statuses_is_written_from_the_document() -> None:
    """When this fails: ``python -m tests.contract``."""
    assert contract.PAGE.read_text() == contract.render()


def test_the_service_shows_the_document_of_its_deployment(make_api: Any) -> None:
    api: Api = make_api('[image_format]\ndisk_formats = raw\n')
    answer = api.get('/v2/openapi.json', caller='p2:reader')
    assert answer.status_int == 200 and answer.json['openapi'] == '3.1.0'
    shown = answer.json['components']['schemas']['Image']['properties']['disk_format']
    assert shown['enum'] == [None, 'raw']
    assert '/v2/images/{image_id}/import' in answer.json['paths']
    assert api.get('/v2/openapi.json', caller='nobody').status_int == 401


def test_what_is_switched_off_is_not_in_the_document(make_api: Any) -> None:
    api: Api = make_api('[DEFAULT]\nenable_image_import = False\n')
    paths = api.get('/v2/openapi.json').json['paths']
    assert '/v2/images/{image_id}/file' in paths
    assert '/v2/images/{image_id}/import' not in paths
