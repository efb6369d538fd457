# SPDX-License-Identifier: Apache-2.0
"""Delayed delete: hidden at once, restored or scrubbed later, never both."""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.cmd import scrubber
from glance_lite.db import images, models, ownership, pending, removals
from glance_lite.db.engine import utcnow
from glance_lite.domain import image as domain
from glance_lite.maintenance import scrubbing
from glance_lite.testing.stores import put
from tests.engine import Engine

DELAYED = '[DEFAULT]\ndelayed_delete = true\n'


@pytest.fixture
def engine(database_url: str, make_conf: Callable[..., cfg.ConfigOpts]) -> Iterator[Engine]:
    """Yield an engine on each kind of database."""
    found = Engine(make_conf(DELAYED, connection=database_url))
    yield found
    found.db.dispose()


def deleted(
    engine: Engine, status: str = domain.ACTIVE, stores: tuple[str, ...] = ('fast',)
) -> str:
    """Return the id of an image with data that was deleted, with a tag and a property."""
    image_id = engine.create(properties={'a': 'b'}, tags=['x'])
    places = []
    for store in stores:
        stored = put(engine.services.stores.get(store), image_id, 'one', b'data')
        places.append(domain.Location(store, stored.url))
    with engine.db.writer() as session:
        images.update(session, image_id, from_status=domain.QUEUED, status=domain.ACTIVE)
        images.set_locations(session, image_id, places)
        if status != domain.ACTIVE:
            images.update(session, image_id, from_status=domain.ACTIVE, status=status)
        assert pending.mark(session, images.get(session, image_id))
    return image_id


def status_of(engine: Engine, image_id: str) -> str | None:
    with engine.db.reader() as session:
        return ownership.of(session, image_id).status


def data_in(engine: Engine, store: str = 'fast') -> list[str]:
    found: list[str] = os.listdir(engine.services.stores.get(store).directory)
    return found


def test_a_deleted_image_is_not_there_and_its_data_is(engine: Engine) -> None:
    image_id = deleted(engine)
    with pytest.raises(exceptions.ImageNotFound):
        engine.image(image_id)
    assert status_of(engine, image_id) == 'pending_delete' and len(data_in(engine)) == 1


def test_scrubbing_removes_the_data_and_then_marks_the_image(engine: Engine) -> None:
    image_id = deleted(engine, stores=('fast', 'cold'))
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(1, 0)
    assert status_of(engine, image_id) == 'deleted'
    assert data_in(engine) == data_in(engine, 'cold') == []
    with engine.db.reader() as session:
        assert removals.list_all(session) == []
        for table in (models.image_properties, models.image_tags, models.image_locations):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(0, 0)


@pytest.mark.parametrize('status', [domain.ACTIVE, domain.DEACTIVATED])
def test_a_restored_image_is_as_it_was(engine: Engine, status: str) -> None:
    image_id = deleted(engine, status)
    assert scrubbing.restore(engine.services, image_id) == status
    image = engine.image(image_id)
    assert (image.status, image.tags, image.properties) == (status, ['x'], {'a': 'b'})
    assert [place.store for place in image.locations] == ['fast']
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(0, 0)
    assert len(data_in(engine)) == 1
    with pytest.raises(exceptions.ImageNotFound):
        scrubbing.restore(engine.services, image_id)


def test_what_is_condemned_cannot_be_restored(engine: Engine) -> None:
    image_id = deleted(engine)
    with engine.db.writer() as session:
        (note,) = pending.condemn(session, image_id)
    with pytest.raises(exceptions.Conflict, match='is being removed'):
        scrubbing.restore(engine.services, image_id)
    with engine.db.writer() as session:
        assert not pending.finish(session, image_id)  # its data is still there
    assert status_of(engine, image_id) == 'pending_delete' and note.store == 'fast'
    # whoever noted it may be dead by now: another scrubber goes on
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(1, 0)
    assert status_of(engine, image_id) == 'deleted'


def test_a_store_that_refuses_keeps_the_image_pending(engine: Engine) -> None:
    image_id = deleted(engine, stores=('fast', 'cold'))
    store = engine.services.stores.get('cold')
    (name,) = data_in(engine, 'cold')
    path = os.path.join(store.directory, name)
    os.rename(path, path + '.kept')
    os.mkdir(path)  # a directory is no file that can be removed
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(0, 1)
    assert status_of(engine, image_id) == 'pending_delete' and data_in(engine) == []
    os.rmdir(path)
    os.rename(path + '.kept', path)
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(1, 0)
    assert status_of(engine, image_id) == 'deleted' and data_in(engine, 'cold') == []


def test_young_ones_are_kept_for_scrub_time(engine: Engine) -> None:
    image_id = deleted(engine)
    engine.services.conf.set_override('scrub_time', 3600)
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(0, 0)
    table = models.images
    with engine.db.writer() as session:
        session.execute(
            sa.update(table)
            .where(table.c.id == image_id)
            .values(deleted_at=utcnow() - datetime.timedelta(hours=2))
        )
    assert scrubbing.scrub(engine.services) == scrubbing.Scrubbed(1, 0)


def test_restore_and_scrub_at_once_have_one_winner(engine: Engine) -> None:
    ids = [deleted(engine) for _ in range(12)]
    restored: list[str] = []

    def restore() -> None:
        for image_id in reversed(ids):
            try:
                scrubbing.restore(engine.services, image_id)
                restored.append(image_id)
            except (exceptions.ImageNotFound, exceptions.Conflict):
                pass

    threads = [
        threading.Thread(target=work)
        for work in (restore, *[lambda: scrubbing.scrub(engine.services)] * 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {name.partition('.')[0] for name in data_in(engine)}
    assert kept == set(restored)  # an image that is back has its data, any other has none
    for image_id in ids:
        expected = 'active' if image_id in restored else 'deleted'
        assert status_of(engine, image_id) == expected


# The program


@pytest.fixture
def run(
    make_conf: Callable[..., cfg.ConfigOpts], capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    path = make_conf(DELAYED).config_file[0]

    def run(*words: str) -> tuple[int, str, str]:
        status = scrubber.main(['--config-file', path, *words], cfg.ConfigOpts())
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_the_program_scrubs_and_restores(
    make_conf: Callable[..., cfg.ConfigOpts], run: Callable[..., tuple[int, str, str]]
) -> None:
    engine = Engine(make_conf(DELAYED))
    kept, gone = deleted(engine), deleted(engine)
    assert run('--restore', kept) == (0, f'Image {kept} is active again.\n', '')
    assert run() == (0, 'Images scrubbed: 1. Left for another time: 0.\n', '')
    assert engine.image(kept).status == 'active' and status_of(engine, gone) == 'deleted'
    status, out, err = run('--restore', gone)
    assert (status, out) == (1, '') and gone in err and 'Traceback' not in err
    engine.db.dispose()


def test_daemon_and_restore_exclude_each_other() -> None:
    with pytest.raises(SystemExit) as stopped:
        scrubber.main(['-D', '--restore', 'x'])
    assert stopped.value.code == 2
