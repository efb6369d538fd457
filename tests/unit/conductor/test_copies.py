# SPDX-License-Identifier: Apache-2.0
"""copy-image: an active image gets more places, or stays as it is to the last byte."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from glance_lite import exceptions
from glance_lite.conductor import persistence
from glance_lite.db import images, models, removals
from glance_lite.db import tasks as task_records
from glance_lite.domain import image as domain
from tests.engine import Engine

DATA = random.Random(7).randbytes(300_000)
COPY = 'copy-image'
THREE = 'fast:file, cold:file, third:file'


@pytest.fixture
def engine(make_conf: Callable[..., Any], tmp_path: Any) -> Engine:
    return Engine(
        make_conf(f'[third]\nfilesystem_store_datadir = {tmp_path}/third\n', stores=THREE)
    )


def path_of(engine: Engine, image_id: str, store: str) -> str:
    [url] = [place.url for place in engine.image(image_id).locations if place.store == store]
    return url.removeprefix('file://')


def copy(engine: Engine, image_id: str, *stores: str, **plan: Any) -> Any:
    """Copy to these stores and return the finished task."""
    task_id = engine.post(image_id, method=COPY, stores=list(stores), **plan)
    engine.conductor().run_pending()
    return engine.task(task_id)


def facts(image: domain.Image) -> tuple[Any, ...]:
    return image.status, image.size, image.checksum, image.os_hash_value, image.virtual_size


def check_unchanged(engine: Engine, before: domain.Image, task: Any) -> None:
    """See that a failed copy left the image as it was, and nothing else anywhere."""
    image = engine.image(before.image_id)
    assert (facts(image), image.locations) == (facts(before), before.locations)
    assert image.import_task_id is None and domain.IMPORT_TASK not in image.properties
    assert domain.IMPORTING_TO_STORES not in image.properties
    assert task.status == 'failure'
    assert image.properties[domain.IMPORT_ERROR].startswith(task.error['code'] + ': ')
    assert image.properties[domain.FAILED_IMPORT] == ','.join(task.plan['stores'])
    check_files(engine, image)


def check_files(engine: Engine, image: domain.Image) -> None:
    left = engine.leftovers()
    assert (left['jobs'], left['flows'], left['staging']) == (0, 0, [])
    for store in engine.services.stores:
        places = [place.url for place in image.locations if place.store == store.store_id]
        assert left[store.store_id] == [os.path.basename(url) for url in places]


def test_an_image_is_copied_while_it_stays_active(
    make_conf: Callable[..., Any], tmp_path: Any, database_url: str
) -> None:
    engine = Engine(make_conf(connection=database_url))
    image_id = engine.active(DATA)
    before = engine.image(image_id)
    seen: list[str] = []
    cold = engine.services.stores.get('cold')
    put = cold.put_file
    cold.put_file = lambda *args: seen.append(engine.image(image_id).status) or put(*args)
    task = copy(engine, image_id, 'cold')
    image = engine.image(image_id)
    assert (task.status, seen) == ('success', ['active'])
    assert facts(image) == facts(before) and image.import_task_id is None
    assert [place.store for place in image.locations] == ['fast', 'cold']
    assert image.locations[0] == before.locations[0]
    assert image.properties == {}
    with open(path_of(engine, image_id, 'cold'), 'rb') as file:
        assert file.read() == DATA
    check_files(engine, image)
    phases = [phase['phase'] for phase in task.progress['phases']]
    assert phases == ['confirm-claim', 'fetch-copy', 'copy-to-store:cold', 'add-locations',
                      'delete-staged']  # fmt: skip
    assert task.progress['phases'][1]['bytes_done'] == len(DATA)
    engine.db.dispose()


def test_plugins_do_not_see_copies(make_conf: Callable[..., Any]) -> None:
    def get_flow(**arguments: Any) -> Any:
        raise AssertionError('a plugin was asked')

    engine = Engine(make_conf())
    image_id = engine.active(DATA)
    engine.services.plugins._plugins['strict'] = get_flow
    assert copy(engine, image_id, 'cold').status == 'success'


def test_a_deactivated_image_stays_deactivated(engine: Engine) -> None:
    image_id = engine.active(DATA)
    task_id = engine.post(image_id, method=COPY, stores=['cold'])
    with engine.db.writer() as session:
        images.update(session, image_id, from_status='active', status='deactivated')
    engine.conductor().run_pending()
    image = engine.image(image_id)
    assert (image.status, len(image.locations)) == ('deactivated', 2)
    assert engine.task(task_id).status == 'success'


def test_what_succeeded_is_kept_where_not_all_must(engine: Engine) -> None:
    image_id = engine.active(DATA)
    engine.services.stores.get('cold').put_file = refuse
    task = copy(engine, image_id, 'cold', 'third', all_stores_must_succeed=False)
    image = engine.image(image_id)
    assert task.status == 'success'
    assert [place.store for place in image.locations] == ['fast', 'third']
    assert image.properties == {domain.FAILED_IMPORT: 'cold'}
    check_files(engine, image)


@pytest.mark.parametrize('must', [True, False])
def test_a_store_that_fails_leaves_the_image_as_it_was(engine: Engine, must: bool) -> None:
    image_id = engine.active(DATA)
    before = engine.image(image_id)
    third = engine.services.stores.get('third')
    third.put_file = refuse
    if not must:
        engine.services.stores.get('cold').put_file = refuse
    task = copy(engine, image_id, 'cold', 'third', all_stores_must_succeed=must)
    assert task.error['code'] == 'no_space' and task.error['retryable']
    check_unchanged(engine, before, task)


def refuse(*args: Any) -> Any:
    raise exceptions.StoreFull('There is no space left for the image data.')


def test_the_same_request_succeeds_later(engine: Engine) -> None:
    image_id = engine.active(DATA)
    cold = engine.services.stores.get('cold')
    cold.put_file = refuse
    assert copy(engine, image_id, 'cold').status == 'failure'
    del cold.put_file
    assert copy(engine, image_id, 'cold').status == 'success'
    assert len(engine.image(image_id).locations) == 2


def test_damaged_data_is_not_spread(engine: Engine) -> None:
    image_id = engine.active(DATA)
    before = engine.image(image_id)
    with open(path_of(engine, image_id, 'fast'), 'r+b') as file:
        file.write(b'rot')
    task = copy(engine, image_id, 'cold')
    assert (task.error['code'], task.error['phase']) == ('store_failed', 'fetch-copy')
    check_unchanged(engine, before, task)


@pytest.mark.parametrize('damage', ['content', 'cut', 'gone'])
def test_another_store_is_asked_where_one_has_damaged_data(engine: Engine, damage: str) -> None:
    image_id = engine.active(DATA, stores=['fast', 'cold'])
    path = path_of(engine, image_id, 'fast')
    os.unlink(path)  # stores on one file system may share a file
    if damage != 'gone':
        with open(path, 'wb') as file:
            file.write(DATA[:1000] if damage == 'cut' else DATA[::-1])
    assert copy(engine, image_id, 'third').status == 'success'
    with open(path_of(engine, image_id, 'third'), 'rb') as file:
        assert file.read() == DATA


def test_no_space_in_staging_is_no_fault_of_a_store(engine: Engine) -> None:
    image_id = engine.active(DATA, stores=['fast', 'cold'])
    before = engine.image(image_id)
    engine.services.staging.create = refuse
    task = copy(engine, image_id, 'third')
    assert (task.error['code'], task.error['phase']) == ('no_space', 'fetch-copy')
    check_unchanged(engine, before, task)


def test_an_image_deleted_meanwhile_leaves_nothing(engine: Engine) -> None:
    image_id = engine.active(DATA)
    cold = engine.services.stores.get('cold')
    put = cold.put_file

    def put_and_delete(*args: Any) -> Any:
        stored = put(*args)
        with engine.db.writer() as session:
            image = images.get_for_update(session, image_id)
            images.delete(session, image_id, domain.HAS_DATA, known=image)
            task_records.request_cancel(session, image.import_task_id)
            removals.note(session, image_id, image.locations)
        return stored

    cold.put_file = put_and_delete
    task = copy(engine, image_id, 'cold')
    assert (task.status, task.error['code']) == ('failure', 'cancelled')
    left = engine.leftovers()
    assert (left['cold'], left['staging'], left['jobs']) == ([], [], 0)


def test_a_cancelled_copy_leaves_the_image_active(engine: Engine) -> None:
    image_id = engine.active(DATA)
    before = engine.image(image_id)
    task_id = engine.post(image_id, method=COPY, stores=['cold'])
    with engine.db.writer() as session:
        task_records.request_cancel(session, task_id)
    engine.conductor().run_pending()
    task = engine.task(task_id)
    assert task.error['code'] == 'cancelled'
    check_unchanged(engine, before, task)


def test_data_under_a_former_id_of_the_store_stays(
    make_conf: Callable[..., Any], tmp_path: Any
) -> None:
    """A deployment gave its store another id: the same directory is a store of a new name."""
    engine = Engine(make_conf())
    image_id = engine.active(DATA)
    with engine.db.writer() as session:
        old = images.get(session, image_id).locations[0]
        images.set_locations(session, image_id, [domain.Location('file', old.url)])
    before = engine.image(image_id)
    fast = engine.services.stores.get('fast')
    fast.put_file = refuse
    task = copy(engine, image_id, 'fast')
    assert task.status == 'failure' and engine.image(image_id).locations == before.locations
    assert engine.leftovers()['fast'] == [os.path.basename(old.url)]


class Died(BaseException):
    """The conductor is gone in this moment."""


def fetching(engine: Engine) -> tuple[Any, str]:
    return engine.services.stores.get('fast'), 'open_reader'


def copying(engine: Engine) -> tuple[Any, str]:
    return engine.services.stores.get('cold'), 'put_file'


def publishing(engine: Engine) -> tuple[Any, str]:
    return engine.services.stores.get('cold'), 'size'


def clearing(engine: Engine) -> tuple[Any, str]:
    return engine.services.staging, 'remove_all'


@pytest.mark.parametrize('cancelled', [False, True])
@pytest.mark.parametrize(
    ('where', 'call', 'is_published'),
    [(fetching, 1, False), (copying, 1, False), (publishing, 1, False), (clearing, 2, True)],
)
def test_a_copy_survives_its_conductor(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    where: Callable[[Engine], tuple[Any, str]],
    call: int,
    is_published: bool,
    cancelled: bool,
) -> None:
    monkeypatch.setattr(persistence, 'WRITE_SECONDS', 0)  # the end of each step is written at once
    image_id = engine.active(DATA)
    before = engine.image(image_id)
    task_id = engine.post(image_id, method=COPY, stores=['cold'])
    die(engine, *where(engine), call)
    assert engine.image(image_id).status == 'active'
    if cancelled:
        with engine.db.writer() as session:
            task_records.request_cancel(session, task_id)
    engine.conductor().run_pending()
    task, image = engine.task(task_id), engine.image(image_id)
    if cancelled and not is_published:
        assert task.error['code'] == 'cancelled'
        check_unchanged(engine, before, task)
        return
    assert task.status == 'success', task.message
    assert [place.store for place in image.locations] == ['fast', 'cold']
    assert image.properties == {} and image.import_task_id is None
    with open(path_of(engine, image_id, 'cold'), 'rb') as file:
        assert file.read() == DATA
    check_files(engine, image)


def die(engine: Engine, owner: Any, name: str, call: int) -> None:
    """Run a conductor that goes away when something is called for the n-th time."""
    real, calls = getattr(owner, name), []

    def act(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        result = real(*args, **kwargs)
        if len(calls) == call:
            raise Died
        return result

    setattr(owner, name, act)
    try:
        with pytest.raises(Died):
            engine.conductor().run_pending()
    finally:
        delattr(owner, name)
    with engine.db.writer() as session:
        session.execute(models.jobs.update().values(expires_ms=1))
