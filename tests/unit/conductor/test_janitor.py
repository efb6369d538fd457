# SPDX-License-Identifier: Apache-2.0
"""The janitor ends what nobody else will end, and leaves alone what somebody needs."""

import datetime
import os

import pytest
import sqlalchemy as sa

from glance_lite.conductor import conductor, janitor
from glance_lite.db import images, models, staged, tasks, uploads
from glance_lite.domain import image as domain
from glance_lite.domain import task as task_domain
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
    os.close(engine.services.staging.create(f'{image_id}.part'))
    writer = engine.services.stores.default.open_writer(image_id, 'a')
    writer.write(memoryview(b'half'))
    return image_id, f'token-{image_id[:8]}'


@pytest.mark.parametrize('status', [domain.SAVING, domain.UPLOADING])
def test_an_upload_whose_process_died_is_given_up(engine, janitor_of, status):
    image_id, token = begin_upload(engine, status, silent=True)
    live_id, _ = begin_upload(engine, status)
    janitor_of(engine).go_round()
    assert engine.image(image_id).status == domain.QUEUED
    assert engine.image(live_id).status == status
    left = engine.leftovers()
    assert left['staging'] == [f'{live_id}.part']
    assert [name.split('.')[0] for name in left['fast']] == [live_id]
    with engine.db.writer() as session:  # the receiver, should it wake, decides nothing
        assert not uploads.end(session, image_id, token)


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
    for name in (f'{kept}.old', f'{deleted}.x', 'not-an-image.y'):
        os.close(staging.create(name))
    janitor_of(engine).go_round()
    assert engine.leftovers()['staging'] == [f'{kept}.upload-1']


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
    monkeypatch.setattr(conductor, 'UNREACHABLE_MS', -1)
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
    done = engine.task(task_id)
    assert (done.status, done.error['code']) == ('failure', 'staging_unreachable')
    assert 'stage it again' in done.message
    assert engine.image(lost).status == domain.QUEUED
    assert engine.leftovers()['jobs'] == 0


def test_an_import_waits_for_a_conductor_that_reaches_its_area(engine):
    image_id = engine.stage(1000)
    engine.post(image_id)
    engine.conductor().fail_unreachable()
    assert engine.image(image_id).status == domain.IMPORTING
