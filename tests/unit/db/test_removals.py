# SPDX-License-Identifier: Apache-2.0
"""Notes of data that is still to be removed, and to whom data belongs."""

import sqlalchemy as sa

from glance_lite.db import images, models, ownership, removals, staged, tasks, uploads
from glance_lite.db.engine import now_ms
from glance_lite.domain import image as domain
from glance_lite.domain.task import Task

PLACES = [domain.Location('fast', 'file:///a'), domain.Location('cold', 'file:///b')]


def wait_ms(db, removal):
    """Return in how many milliseconds a note is due, roughly."""
    table = models.removals
    with db.reader() as session:
        due = session.scalar(sa.select(table.c.due_ms).where(table.c.id == removal.removal_id))
        return due - session.scalar(sa.select(now_ms()))


def test_a_note_is_due_when_its_time_has_come(any_db):
    with any_db.writer() as session:
        now = removals.note(session, 'i', PLACES, in_seconds=-1)
        later = removals.note_attempts(session, 'i', 'fast')
    with any_db.reader() as session:
        assert removals.list_due(session) == now
        assert removals.list_all(session) == [*now, later]
    assert [(note.store, note.url) for note in now] == [
        ('fast', 'file:///a'),
        ('cold', 'file:///b'),
    ]
    assert later.url is None


def test_one_of_two_takes_a_note_and_the_next_try_is_put_off_further_each_time(any_db):
    with any_db.writer() as session:
        first = removals.note_attempts(session, 'i', 'fast', in_seconds=-1)
    waits = []
    for _ in range(12):
        with any_db.writer() as session:
            assert removals.take(session, first)
            assert not removals.take(session, first)
        waits.append(round(wait_ms(any_db, first) / 1000))
        with any_db.reader() as session:
            assert removals.list_due(session) == []
            (first,) = removals.list_all(session)
    assert first.attempts == 12
    assert waits[:3] == [20, 40, 80] and waits[-1] == 3600


def test_a_note_goes_when_it_is_done(any_db):
    with any_db.writer() as session:
        one, two = removals.note(session, 'i', PLACES)
        removals.done(session, one)
        removals.done(session, one)
    with any_db.reader() as session:
        assert removals.list_all(session) == [two]


def test_data_belongs_to_images_uploads_and_imports(any_db):
    ids = {
        name: f'{number}' for number, name in enumerate(('kept', 'gone', 'comes', 'runs', 'waits'))
    }
    with any_db.writer() as session:
        for image_id in ids.values():
            images.insert(session, domain.Image(image_id=image_id))
        images.set_locations(session, ids['kept'], PLACES)
        images.delete(session, ids['gone'], [domain.QUEUED])
        removals.note(session, ids['gone'], PLACES[:1])
        uploads.begin(session, ids['comes'], 'token')
        tasks.insert(session, Task('done', ids['kept'], 'p', status='success'))
        tasks.insert(session, Task('runs', ids['runs'], 'p'))
        staged.insert(session, staged.Staged(ids['waits'], 'area', 'file', {}))
    with any_db.reader() as session:
        found = ownership.of_all(session, [*ids.values(), 'stranger'])
        assert ownership.of(session, ids['kept']) == found[ids['kept']]
    assert found[ids['kept']] == ownership.Ownership(
        status='queued', places={(place.store, place.url) for place in PLACES}
    )
    assert found[ids['gone']] == ownership.Ownership(
        status='deleted', noted={('fast', 'file:///a')}
    )
    assert (
        found[ids['comes']] == found[ids['runs']] == ownership.Ownership(status='queued', busy=True)
    )
    assert found[ids['waits']] == ownership.Ownership(status='queued', staged_files={'file'})
    assert found['stranger'] == ownership.Ownership()
