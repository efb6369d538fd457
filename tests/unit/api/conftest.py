# SPDX-License-Identifier: Apache-2.0
"""The application on SQLite, called without a socket, by callers that name themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import webob

from glance_lite import deploy
from tests import contract
from tests.api.callers import identify

FORMATS = {'disk_format': 'raw', 'container_format': 'bare'}
PATCH = 'application/openstack-images-v2.1-json-patch'
OCTETS = 'application/octet-stream'


class Api:
    """Calls one application."""

    def __init__(self, conf: Any) -> None:
        self.services = deploy.build_services(conf)
        self.app = contract.watch(deploy.loadapp(conf, self.services, identify))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        caller: str | None = None,
    ) -> webob.Response:
        """Send a request; a body that is not bytes is sent as JSON."""
        request = webob.Request.blank(path, method=method)
        if body is not None:
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if method == 'PATCH':
            request.content_type = PATCH
        if path.endswith(('/file', '/stage')) and method == 'PUT':
            request.content_type = OCTETS
        request.headers.update(headers or {})
        if caller is not None:
            request.headers['X-Test-Caller'] = caller
        return request.get_response(self.app)

    def get(self, path: str, **kwargs: Any) -> webob.Response:
        return self.call('GET', path, **kwargs)

    def create(self, caller: str | None = None, **attributes: Any) -> str:
        """Create an image and return its path."""
        answer = self.call('POST', '/v2/images', attributes, caller=caller)
        assert answer.status_int == 201, answer.body
        return '/v2/images/' + answer.json['id']

    def stage(self, data: bytes = b'data', **attributes: Any) -> str:
        """Create an image with staged data and return its path."""
        path = self.create(**{**FORMATS, **attributes})
        assert self.call('PUT', path + '/stage', data).status_int == 204
        return path

    def upload(self, data: bytes = b'data', **attributes: Any) -> str:
        """Create an active image and return its path."""
        path = self.create(**{**FORMATS, **attributes})
        assert self.call('PUT', path + '/file', data).status_int == 204
        return path

    def staged_files(self) -> list[str]:
        return self.services.staging.list_files()

    def stored_files(self) -> list[str]:
        import os

        return [
            name
            for store in self.services.stores
            if not store.read_only
            for name in os.listdir(store.directory)
        ]


def error(answer: webob.Response) -> tuple[int, str]:
    """Return status and code of an error."""
    return answer.status_int, answer.json['error']['code']


@pytest.fixture
def make_api(make_conf: Callable[..., Any]) -> Iterator[Callable[..., Api]]:
    """Return a function that makes an application with more options."""
    made: list[Api] = []

    def make(extra: str = '', **kwargs: Any) -> Api:
        made.append(Api(make_conf(extra, **kwargs)))
        return made[-1]

    yield make
    for api in made:
        api.services.db.dispose()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """Return an application with two file stores."""
    return make_api()
