# SPDX-License-Identifier: Apache-2.0
"""With ``delayed_delete`` an image is gone to everybody at once, and its data is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glance_lite.db import ownership
from glance_lite.maintenance import scrubbing
from tests.unit.api.conftest import FORMATS, error

DELAYED = '[DEFAULT]\ndelayed_delete = true\n'


def status_of(api: Any, path: str) -> str | None:
    with api.services.db.reader() as session:
        return ownership.of(session, path.rpartition('/')[2]).status


def test_a_deleted_image_is_hidden_until_it_is_restored(make_api: Callable[..., Any]) -> None:
    api = make_api(DELAYED)
    path = api.upload(b'bytes', tags=['x'])
    assert api.call('DELETE', path).status_int == 204
    for method, where in (('GET', path), ('GET', path + '/file'), ('DELETE', path)):
        assert error(api.call(method, where))[0] == 404
    for caller in ('p1:member,reader', None):
        assert api.get('/v2/images', caller=caller).json['images'] == []
    assert len(api.stored_files()) == 1 and status_of(api, path) == 'pending_delete'
    # the id stays taken
    again = api.call('POST', '/v2/images', {'id': path.rpartition('/')[2]})
    assert again.status_int == 409
    scrubbing.restore(api.services, path.rpartition('/')[2])
    assert api.get(path).json['tags'] == ['x'] and api.get(path + '/file').body == b'bytes'


def test_scrubbed_it_is_deleted(make_api: Callable[..., Any]) -> None:
    api = make_api(DELAYED)
    path = api.upload()
    api.call('DELETE', path)
    assert scrubbing.scrub(api.services) == scrubbing.Scrubbed(1, 0)
    assert api.stored_files() == [] and status_of(api, path) == 'deleted'


def test_without_data_an_image_is_deleted_at_once(make_api: Callable[..., Any]) -> None:
    api = make_api(DELAYED)
    for path in (api.create(**FORMATS), api.stage()):
        assert api.call('DELETE', path).status_int == 204
        assert status_of(api, path) == 'deleted'
    assert api.staged_files() == []


def test_a_deactivated_image_comes_back_deactivated(make_api: Callable[..., Any]) -> None:
    api = make_api(DELAYED)
    path = api.upload()
    assert api.call('POST', path + '/actions/deactivate').status_int == 204
    assert api.call('DELETE', path).status_int == 204
    scrubbing.restore(api.services, path.rpartition('/')[2])
    shown = api.get(path).json
    assert shown['status'] == 'deactivated'
    assert not [name for name in shown if name.startswith('os_glance')]
