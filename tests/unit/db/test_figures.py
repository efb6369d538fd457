# SPDX-License-Identifier: Apache-2.0
"""The figures of the database are those of now, on each kind of it."""

import sqlalchemy as sa

from glance_lite.db import conductors, figures, jobs, models, removals, tasks
from glance_lite.domain.task import Task


def test_nothing_is_all_zero(any_db):
    assert any_db.read(figures.read) == figures.Figures(0, 0, 0.0, 0.0, 0.0, 0, 0, 0, 0)


def test_the_queue_and_its_oldest(any_db):
    with any_db.writer() as session:
        for number in range(4):
            tasks.insert(session, Task(f't{number}', 'i', 'p'))
            jobs.post(session, f't{number}', 'import', {})
        for uuid, age in (('t0', 50), ('t1', 90), ('t2', 70), ('t3', 10)):
            table = models.jobs
            session.execute(
                sa.update(table)
                .where(table.c.uuid == uuid)
                .values(created_ms=table.c.created_ms - age * 1000)
            )
        assert jobs.claim(session, 't1', 0, 'me', 30_000)
        assert jobs.claim(session, 't2', 0, 'gone', -1)  # its lease ran out: it waits again
        conductors.check_in(session, 'alive', 'host', [])
        conductors.check_in(session, 'silent', 'host', [])
        session.execute(
            sa.update(models.conductors)
            .where(models.conductors.c.name == 'silent')
            .values(seen_ms=models.conductors.c.seen_ms - 60_000)
        )
        removals.note_attempts(session, 'i', 'fast')
    found = any_db.read(figures.read)
    assert (found.waiting, found.running, found.conductors, found.removals) == (3, 1, 1, 1)
    assert 70 <= found.oldest_waiting_seconds < 80
    assert 90 <= found.oldest_running_seconds < 100
    assert found.oldest_lock_seconds == found.oldest_running_seconds
