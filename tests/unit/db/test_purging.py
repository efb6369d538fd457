# SPDX-License-Identifier: Apache-2.0
"""Purging forgets what is long over, and nothing else; ids go by a step of their own."""

import datetime

import pytest
import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import conductors, images, models, purging, removals, tasks
from glance_lite.db.engine import utcnow
from glance_lite.domain import image as domain
from glance_lite.domain.task import Task

LIVING, YOUNG, OLD, NOTED = 'living', 'young', 'old', 'noted'
BESIDE = [
    models.image_properties,
    models.image_tags,
    models.image_members,
    models.image_locations,
]


@pytest.fixture
def db(any_db):
    """Return a database with images: one that lives, and some that were deleted.

    The deleted keep rows beside them, as no release of ours leaves them.
    """
    with any_db.writer() as session:
        for image_id in (LIVING, YOUNG, OLD, NOTED):
            images.insert(
                session,
                domain.Image(
                    image_id, name='disk', owner='p1', properties={'a': 'b'}, tags=['x', 'y']
                ),
            )
            images.set_locations(session, image_id, [domain.Location('fast', 'file:///a')])
            session.execute(
                models.image_members.insert().values(
                    image_id=image_id,
                    member_id='p2',
                    status='pending',
                    created_at=utcnow(),
                    updated_at=utcnow(),
                )
            )
        for image_id, days in ((YOUNG, 29), (OLD, 31), (NOTED, 31)):
            mark_deleted(session, image_id, days)
        removals.note(session, NOTED, [domain.Location('fast', 'file:///a')])
        for task_id, status, days in (
            ('runs', 'processing', 90),
            ('ended', 'success', 31),
            ('failed', 'failure', 31),
            ('recent', 'success', 29),
        ):
            tasks.insert(session, Task(task_id, OLD, 'p1', status=status))
            session.execute(
                models.tasks.update()
                .where(models.tasks.c.id == task_id)
                .values(updated_at=ago(days))
            )
        conductors.check_in(session, 'alive', 'host', [])
        conductors.check_in(session, 'gone', 'host', [])
        session.execute(
            models.conductors.update()
            .where(models.conductors.c.name == 'gone')
            .values(seen_ms=models.conductors.c.seen_ms - 31 * 86_400_000)
        )
    return any_db


def ago(days):
    return utcnow() - datetime.timedelta(days=days)


def mark_deleted(session, image_id, days):
    session.execute(
        models.images.update()
        .where(models.images.c.id == image_id)
        .values(status='deleted', deleted=True, deleted_at=ago(days))
    )


def keys(db, column):
    with db.reader() as session:
        return set(session.scalars(sa.select(column)))


def test_only_what_ended_long_ago_is_forgotten(db):
    found = purging.purge(db, 30, None)
    assert found == {
        'image_properties': 1,
        'image_tags': 2,
        'image_members': 1,
        'image_locations': 1,
        'staged': 0,
        'uploads': 0,
        'tasks': 2,
        'conductors': 1,
        'images': 1,
    }
    for table in BESIDE:
        assert keys(db, table.c.image_id) == {LIVING, YOUNG, NOTED}
    assert keys(db, models.tasks.c.id) == {'runs', 'recent'}
    assert keys(db, models.conductors.c.name) == {'alive'}
    assert set(purging.purge(db, 30, None).values()) == {0}


def test_a_deleted_image_becomes_a_bare_id_that_stays_taken(db):
    purging.purge(db, 30, None)
    columns = models.images.c
    with db.reader() as session:
        rows = {row.id: row for row in session.execute(sa.select(models.images))}
        assert images.get(session, LIVING).tags == ['x', 'y']
    assert (rows[OLD].name, rows[OLD].owner, rows[OLD].status) == (None, None, 'deleted')
    assert rows[YOUNG].owner == rows[NOTED].owner == rows[LIVING].owner == 'p1'
    assert rows[OLD].deleted_at is not None and columns.deleted_at.nullable
    with pytest.raises(exceptions.ImageExists), db.writer() as session:
        images.insert(session, domain.Image(OLD))


def test_max_rows_is_of_each_table(db):
    found = purging.purge(db, 30, 1)
    assert (found['image_tags'], found['tasks']) == (1, 1)
    assert purging.purge(db, 30, 1)['image_tags'] == 1
    assert purging.purge(db, 30, 1)['image_tags'] == 0


def test_ids_go_only_when_asked_for_and_when_no_data_is_left(db):
    assert purging.purge_ids(db, 180, None) == 0
    with db.writer() as session:
        for image_id in (OLD, NOTED):
            mark_deleted(session, image_id, 181)
    assert purging.purge_ids(db, 180, None) == 1
    assert keys(db, models.images.c.id) == {LIVING, YOUNG, NOTED}
    for table in BESIDE:
        assert OLD not in keys(db, table.c.image_id)  # the foreign key takes them along
    with db.writer() as session:
        images.insert(session, domain.Image(OLD))


def test_more_rows_than_a_transaction_takes_are_purged(db):
    with db.writer() as session:
        session.execute(
            models.images.insert(),
            [
                {
                    'id': f'n{number}',
                    'status': 'deleted',
                    'visibility': 'shared',
                    'protected': False,
                    'os_hidden': False,
                    'owner': 'p1',
                    'min_disk': 0,
                    'min_ram': 0,
                    'created_at': ago(50),
                    'updated_at': ago(40),
                    'deleted_at': ago(40),
                    'deleted': True,
                }
                for number in range(1201)
            ],
        )
    assert purging.purge(db, 30, 700)['images'] == 700
    assert purging.purge(db, 30, None)['images'] == 502
