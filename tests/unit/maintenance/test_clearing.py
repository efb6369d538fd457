# SPDX-License-Identifier: Apache-2.0
"""Clearing up at once does what janitors do by and by, and tells what became of each thing."""

import datetime

import pytest
import sqlalchemy as sa

from glance_lite.db import models, removals, uploads
from glance_lite.domain import image as domain
from glance_lite.maintenance import clearing
from glance_lite.testing.stores import put
from tests.engine import Engine


@pytest.fixture
def engine(make_conf):
    found = Engine(make_conf())
    yield found
    found.db.dispose()


@pytest.fixture
def lost(engine):
    """Make an upload whose receiver is gone, with what it left; return the image's id."""
    image_id = engine.create(status=domain.SAVING)
    with engine.db.writer() as session:
        uploads.begin(session, image_id, 'token')
        session.execute(sa.update(models.uploads).values(seen_ms=1))
    engine.services.stores.get('fast').open_writer(image_id, 'a').write(memoryview(b'half'))
    return image_id


def clear(engine, pause=lambda seconds: None, **how):
    return [
        (each.action, each.litter.kind)
        for each in clearing.clear(engine.services, grace_seconds=0, pause=pause, **how)
    ]


def test_a_lost_upload_and_what_it_left_go_at_once(engine, lost):
    assert clear(engine) == [
        ('removed', 'upload'),
        ('removed', 'stored data'),
        ('removed', 'stored data'),
    ]
    assert engine.image(lost).status == domain.QUEUED
    assert engine.leftovers()['fast'] == []


def test_a_dry_run_leaves_a_lost_upload(engine, lost):
    assert clear(engine, dry_run=True) == [('would remove', 'upload')]
    assert engine.image(lost).status == domain.SAVING


def test_an_upload_that_could_give_no_sign_of_life_is_given_time_for_one(engine, lost):
    waited = []

    def pause(seconds):
        waited.append(seconds)
        with engine.db.writer() as session:
            uploads.renew(session, ['token'])

    assert clear(engine, pause) == []
    assert len(waited) == 1 and waited[0] > 3
    assert clear(engine, pause) == [] and len(waited) == 1


def test_what_expired_goes(engine):
    image_id = engine.stage(1000)
    done = engine.post(engine.stage(1000))
    engine.conductor().run_pending()
    with engine.db.writer() as session:
        session.execute(sa.update(models.staged).values(created_at=datetime.datetime(2020, 1, 1)))
        session.execute(sa.update(models.tasks).values(expires_at=datetime.datetime(2020, 1, 1)))
    assert clear(engine) == [('removed', 'staged data'), ('removed', 'records')]
    assert engine.image(image_id).status == domain.QUEUED
    with engine.db.reader() as session:
        assert session.scalar(sa.select(models.tasks.c.id).where(models.tasks.c.id == done)) is None


def test_what_was_put_off_is_tried_again_but_nothing_that_is_meant_for_later(engine):
    image_id = engine.create()
    urls = [put(engine.services.stores.get('fast'), image_id, word, b'1').url for word in 'ab']
    with engine.db.writer() as session:
        tried, _ = (
            removals.note(session, image_id, [domain.Location('fast', url)], in_seconds=3600)[0]
            for url in urls
        )
        removals.take(session, tried)
    assert clear(engine) == [('removed', 'stored data')]
    assert engine.leftovers()['fast'] == [f'{image_id}.b']


def test_trouble_with_one_place_keeps_none_of_the_others(engine, tmp_path, lost):
    (tmp_path / 'cold').rmdir()
    actions = [
        (each.action, each.litter.where)
        for each in clearing.clear(engine.services, grace_seconds=0, pause=lambda seconds: None)
    ]
    assert ('failed', 'cold') in actions and ('removed', 'fast') in actions
