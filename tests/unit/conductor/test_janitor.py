# SPDX-License-Identifier: Apache-2.0
"""The janitor ends what nobody else will end, and leaves alone what somebody needs."""

import datetime
import os

import pytest
import sqlalchemy as sa

from glance_lite.conductor import conductor, janitor, litter
from glance_lite.db import images, models, removals, staged, tasks, uploads
from glance_lite.domain import image as domain
from glance_lite.domain import task as task_domain
from glance_lite.testing.stores import put
from tests.engine import Engine


@pytest.fixture
def engine(make_conf, database_url):
    found = Engine(make_conf(connection=database_url))
    yield found
    found.db.dispose()


@pytest.fixture
def janitor_of(monkeypatch):
    """Return a function that makes a janitor for which every stray file is old."""
    monkeypatch.setattr(janitor, 'GRACE_SECONDS', -1)
    return lambda engine: janitor.Janitor(engine.services)


def begin_upload(engine, status, silent=False):
    """Make an image whose body comes in, or whose receiver is gone; return id and token."""
    image_id = engine.create(status=status)
    with engine.db.writer() as session:
        uploads.begin(session, image_id, f'token-{image_id[:8]}')
        if silent:
            session.execute(
                sa.update(models.uploads)
                .where(models.uploads.c.image_id == image_id)
                .values(seen_ms=1)
            )
    if status == domain.UPLOADING:
        os.close(engine.services.staging.create(f'{image_id}.part'))
    else:
        engine.services.stores.default.open_writer(image_id, 'a').write(memoryview(b'half'))
    return image_id, f'token-{image_id[:8]}'


@pytest.mark.parametrize('status', [domain.SAVING, domain.UPLOADING])
def test_an_upload_whose_process_died_is_given_up(engine, janitor_of, status):
    image_id, token = begin_upload(engine, status, silent=True)
    live_id, _ = begin_upload(engine, status)
    cleaner = janitor_of(engine)
    cleaner.go_round()
    assert engine.image(image_id).status == status
    cleaner.go_round()
    cleaner.clear_stores()
    assert engine.image(image_id).status == domain.QUEUED
    assert engine.image(live_id).status == status
    left = engine.leftovers()
    assert left['staging'] + left['fast'] == [
        f'{live_id}.part' if status == domain.UPLOADING else f'{live_id}.a.part'
    ]
    with engine.db.writer() as session:  # the receiver, should it wake, decides nothing
        assert not uploads.end(session, image_id, token)


def test_an_upload_that_could_not_be_spoken_for_is_not_lost(engine, janitor_of):
    image_id, token = begin_upload(engine, domain.SAVING, silent=True)  # the database was away
    cleaner = janitor_of(engine)
    cleaner.go_round()
    with engine.db.writer() as session:
        uploads.renew(session, [token])
    cleaner.go_round()
    assert engine.image(image_id).status == domain.SAVING


def test_a_database_that_takes_no_changes_shows_no_upload_to_be_lost(engine, janitor_of):
    image_id, _ = begin_upload(engine, domain.SAVING, silent=True)
    cleaner = janitor_of(engine)

    def refuse(connection, cursor, statement, *rest):
        if statement.startswith('UPDATE uploads'):
            raise RuntimeError('database or disk is full')

    sa.event.listen(engine.db.engine, 'before_cursor_execute', refuse)
    for _ in range(3):
        cleaner.go_round()
    sa.event.remove(engine.db.engine, 'before_cursor_execute', refuse)
    cleaner.go_round()
    assert engine.image(image_id).status == domain.SAVING
    cleaner.go_round()
    assert engine.image(image_id).status == domain.QUEUED


def test_staged_data_expires_unless_an_import_has_it(engine, janitor_of):
    waiting, importing = engine.stage(1000), engine.stage(2000)
    engine.post(importing)
    with engine.db.writer() as session:
        session.execute(sa.update(models.staged).values(created_at=datetime.datetime(2020, 1, 1)))
    janitor_of(engine).go_round()
    assert engine.image(waiting).status == domain.QUEUED
    assert engine.image(importing).status == domain.IMPORTING
    with engine.db.reader() as session:
        assert staged.get(session, waiting) is None
        assert staged.get(session, importing) is not None
    assert engine.leftovers()['staging'] == [f'{importing}.upload-1']
    engine.conductor().run_pending()
    assert engine.image(importing).status == domain.ACTIVE


def test_files_that_nothing_needs_are_removed(engine, janitor_of):
    staging = engine.services.staging
    kept = engine.stage()
    deleted = engine.create()
    with engine.db.writer() as session:
        images.delete(session, deleted, [domain.QUEUED])
    for name in (f'{kept}.old', f'{deleted}.x', f'{kept}.upload-1.lent', f'{kept}.a.part.b'):
        os.close(staging.create(name))
    os.makedirs(os.path.join(staging.directory, f'{kept}.work', 'inner'))
    janitor_of(engine).go_round()
    assert engine.leftovers()['staging'] == [f'{kept}.upload-1']


def test_files_named_after_no_image_are_left_alone_for_longer(engine, make_conf, janitor_of):
    os.close(engine.services.staging.create('scratch.file'))
    janitor_of(engine).go_round()
    assert engine.leftovers()['staging'] == ['scratch.file']
    (found,) = litter.stray_files(engine.services, 0, unknown_seconds=0)
    assert 'no image' in found.reason and found.remove()
    assert engine.leftovers()['staging'] == []


def test_files_of_an_import_that_runs_are_left_alone_even_if_its_image_is_deleted(
    engine, janitor_of
):
    image_id = engine.stage()
    engine.post(image_id)
    with engine.db.writer() as session:
        images.delete(session, image_id, [domain.IMPORTING])
    janitor_of(engine).go_round()
    assert engine.leftovers()['staging'] == [f'{image_id}.upload-1']


def test_a_young_file_is_left_alone(engine):
    os.close(engine.services.staging.create('just-made.x'))
    janitor.Janitor(engine.services).go_round()
    assert engine.leftovers()['staging'] == ['just-made.x']


def test_expired_tasks_are_removed(engine, janitor_of):
    ids = [engine.post(engine.stage(1000)) for _ in range(2)]
    engine.conductor().run_pending()
    with engine.db.writer() as session:
        session.execute(
            sa.update(models.tasks)
            .where(models.tasks.c.id == ids[0])
            .values(expires_at=datetime.datetime(2020, 1, 1))
        )
    janitor_of(engine).go_round()
    with engine.db.reader() as session:
        assert tasks.get(session, ids[1]).status == task_domain.SUCCESS
        assert session.scalar(sa.select(sa.func.count()).select_from(models.tasks)) == 1


def test_an_import_whose_staging_host_is_lost_fails_and_may_be_staged_again(engine, monkeypatch):
    monkeypatch.setattr(conductor, 'YOUNG_MS', -1)
    lost, here = engine.stage(1000), engine.stage(2000)
    with engine.db.writer() as session:
        session.execute(
            sa.update(models.staged).where(models.staged.c.image_id == lost).values(area='other')
        )
    task_id, _ = engine.post(lost), engine.post(here)
    with engine.db.writer() as session:
        session.execute(
            sa.update(models.jobs).where(models.jobs.c.uuid == task_id).values(area='other')
        )
    runner = engine.conductor()
    assert runner.run_pending() == 1  # only the one that it reaches
    assert engine.image(lost).status == domain.IMPORTING
    runner.fail_unreachable()
    assert engine.image(lost).status == domain.IMPORTING  # the database may have been away
    runner.fail_unreachable()
    done = engine.task(task_id)
    assert (done.status, done.error['code']) == ('failure', 'staging_unreachable')
    assert 'stage it again' in done.message
    assert engine.image(lost).status == domain.QUEUED
    assert engine.leftovers()['jobs'] == 0


def test_an_import_waits_for_a_conductor_that_reaches_its_area(engine):
    image_id = engine.stage(1000)
    engine.post(image_id)
    runner = engine.conductor()
    for _ in range(2):
        runner.fail_unreachable()
    assert engine.image(image_id).status == domain.IMPORTING


def note(engine, image_id, url=None, store='fast'):
    """Note data that is to be removed now."""
    with engine.db.writer() as session:
        if url is None:
            return removals.note_attempts(session, image_id, store, in_seconds=-1)
        return removals.note(session, image_id, [domain.Location(store, url)], in_seconds=-1)[0]


def make_due(engine):
    with engine.db.writer() as session:
        session.execute(sa.update(models.removals).values(due_ms=1))


def notes(engine):
    with engine.db.reader() as session:
        return removals.list_all(session)


def test_noted_data_is_removed_as_soon_as_its_store_is_there(engine, janitor_of, tmp_path):
    image_id = engine.create()
    url = put(engine.services.stores.get('fast'), image_id, 'a', b'data').url
    note(engine, image_id, url)
    note(engine, image_id, 'file:///gone', store='unknown')
    (tmp_path / 'fast').rename(tmp_path / 'away')
    for tries in (1, 2):
        make_due(engine)
        janitor_of(engine).clear_stores()
        assert [removal.attempts for removal in notes(engine)] == [tries, tries]
    (tmp_path / 'away').rename(tmp_path / 'fast')
    janitor_of(engine).clear_stores()
    assert engine.leftovers()['fast'] == [f'{image_id}.a']  # it is not due yet
    make_due(engine)
    janitor_of(engine).clear_stores()
    assert engine.leftovers()['fast'] == []
    assert [removal.store for removal in notes(engine)] == ['unknown']


def test_attempts_are_removed_but_for_the_data_of_the_image(engine, janitor_of):
    image_id = engine.stage(1000)
    engine.post(image_id, stores=['fast', 'cold'])
    engine.conductor().run_pending()
    (kept,) = [place.url for place in engine.image(image_id).locations if place.store == 'fast']
    store = engine.services.stores.get('fast')
    put(store, image_id, 'old', b'old')
    store.open_writer(image_id, 'older').write(memoryview(b'half'))
    note(engine, image_id)
    janitor_of(engine).clear_stores()
    assert [data.url for data in store.list_data()] == [kept]
    assert notes(engine) == []
    assert len(engine.leftovers()['cold']) == 1


@pytest.mark.parametrize('busy', ['upload', 'import'])
def test_attempts_are_left_alone_while_the_image_is_busy(engine, janitor_of, busy):
    if busy == 'upload':
        image_id, _ = begin_upload(engine, domain.SAVING)
    else:
        image_id = engine.stage(1000)
        engine.post(image_id)
        put(engine.services.stores.default, image_id, 'a', b'half')
    note(engine, image_id)
    janitor_of(engine).clear_stores()
    assert len(engine.leftovers()['fast']) == 1
    assert [removal.attempts for removal in notes(engine)] == [1]


def test_an_image_keeps_its_data_when_its_store_was_renamed_or_moved(engine, janitor_of):
    store = engine.services.stores.get('fast')
    for place in (
        domain.Location('fast', 'file:///before/moving/{}.a'),
        domain.Location('name-of-before', 'file:///before/renaming/{}.a'),
    ):
        image_id = engine.create(status=domain.ACTIVE)
        place.url = place.url.format(image_id)
        with engine.db.writer() as session:
            images.set_locations(session, image_id, [place])
        put(store, image_id, 'a', b'data')
        note(engine, image_id)
    janitor_of(engine).clear_stores()
    assert notes(engine) == [] and len(engine.leftovers()['fast']) == 2
