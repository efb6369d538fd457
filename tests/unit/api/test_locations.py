# SPDX-License-Identifier: Apache-2.0
"""Where data rests: removing it from one store, and what the other store keeps."""

from __future__ import annotations

import os
from typing import Any

import pytest

from glance_lite.db import removals

from .conftest import FORMATS, Api, error
from .test_copy_image import TO_COLD, run


def copied(api: Api, data: bytes = b'data' * 100) -> str:
    path = api.upload(data)
    assert api.call('POST', path + '/import', TO_COLD).status_int == 202
    assert run(api) == 1
    return path


def store_path(path: str, store: str) -> str:
    return f"/v2/stores/{store}/{path.rpartition('/')[2]}"


def files(api: Api, store: str) -> list[str]:
    directory: Any = api.services.stores.get(store)
    return os.listdir(directory.directory)


@pytest.mark.parametrize(('store', 'other'), [('fast', 'cold'), ('cold', 'fast')])
def test_data_is_removed_from_one_store(api: Api, store: str, other: str) -> None:
    path = copied(api)
    assert api.call('DELETE', store_path(path, store)).status_int == 204
    image = api.get(path).json
    assert (image['stores'], image['status']) == (other, 'active')
    assert (len(files(api, store)), len(files(api, other))) == (0, 1)
    assert api.get(path + '/file').body == b'data' * 100
    with api.services.db.reader() as session:
        assert removals.list_all(session) == []
    assert error(api.call('DELETE', store_path(path, store))) == (404, 'location_not_found')


def test_the_last_store_keeps_it(api: Api) -> None:
    path = copied(api)
    api.call('DELETE', store_path(path, 'fast'))
    answer = api.call('DELETE', store_path(path, 'cold'))
    assert error(answer) == (403, 'forbidden')
    assert 'only one' in answer.json['error']['message']
    assert api.get(path).json['stores'] == 'cold' and len(files(api, 'cold')) == 1


def test_what_cannot_be_removed(api: Api) -> None:
    path = copied(api)
    missing = '/v2/images/0b0e4e58-1ba9-4f5a-8a8e-7a6e9e5f7a01'
    assert error(api.call('DELETE', store_path(missing, 'fast'))) == (404, 'image_not_found')
    assert error(api.call('DELETE', store_path(path, 'nope'))) == (409, 'conflict')
    single = api.upload()
    assert error(api.call('DELETE', store_path(single, 'cold'))) == (404, 'location_not_found')
    for other in (api.create(**FORMATS), api.stage()):
        assert error(api.call('DELETE', store_path(other, 'fast'))) == (409, 'status_conflict')
    api.call('POST', path + '/actions/deactivate')
    assert error(api.call('DELETE', store_path(path, 'cold'))) == (409, 'status_conflict')
    assert api.get(path).json['stores'] == 'fast,cold'


def test_not_while_a_copy_is_made_of_it(api: Api) -> None:
    path = api.upload()
    api.call('POST', path + '/import', TO_COLD)
    assert error(api.call('DELETE', store_path(path, 'fast'))) == (409, 'import_running')
    run(api)
    assert api.call('DELETE', store_path(path, 'fast')).status_int == 204


def test_data_in_a_store_that_is_away_is_removed_later(api: Api) -> None:
    path = copied(api)
    cold: Any = api.services.stores.get('cold')
    moved = cold.directory + '-away'
    os.rename(cold.directory, moved)
    assert api.call('DELETE', store_path(path, 'cold')).status_int == 204
    assert api.get(path).json['stores'] == 'fast'
    os.rename(moved, cold.directory)
    with api.services.db.reader() as session:
        [note] = removals.list_all(session)
    assert (note.store, len(files(api, 'cold'))) == ('cold', 1)
