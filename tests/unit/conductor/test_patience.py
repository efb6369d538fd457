# SPDX-License-Identifier: Apache-2.0
"""Imports that wait, stand still, or whose step does not end, are settled in bounded time."""

import threading
import time

import pytest
import sqlalchemy as sa
from taskflow import task

from glance_lite import exceptions
from glance_lite.db import images, jobs, models, tasks
from glance_lite.domain import image as domain
from tests.engine import Engine


class Running:
    """A conductor that runs in a thread of its own."""

    def __init__(self, engine):
        self.conductor = engine.conductor()
        self._thread = threading.Thread(target=self.conductor.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self.conductor

    def __exit__(self, *args):
        self.conductor.stop()
        self._thread.join(20)


def until(condition, seconds=10):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.01)
    return time.monotonic() - start


def hanging(release, entered):
    """Return a ``get_flow`` whose task waits for ``release`` and hears nothing."""

    def get_flow(**arguments):
        class Deaf(task.Task):
            def execute(self):
                entered.set()
                release.wait(30)

        return Deaf('deaf')

    return get_flow


@pytest.fixture
def deaf():
    """Give ``(get_flow, entered, release)`` of a plugin that hangs until released."""
    release, entered = threading.Event(), threading.Event()
    yield hanging(release, entered), entered, release
    release.set()


def start(engine, deaf):
    engine.services.plugins._plugins['deaf'] = deaf[0]
    image_id = engine.stage()
    return image_id, engine.post(image_id, plugins=['deaf'])


def ended(engine, task_id):
    return engine.task(task_id).status == 'failure'


def check_released(engine, image_id, task_id, code):
    """See that the image may be imported again and that the error is the right one."""
    until(lambda: engine.leftovers()['jobs'] == 0)
    image, done = engine.image(image_id), engine.task(task_id)
    assert (image.status, image.import_task_id) == (domain.UPLOADING, None)
    assert done.error['code'] == code
    left = engine.leftovers()
    assert (left['flows'], left['fast'], len(left['staging'])) == (0, [], 1)


def test_a_cancelled_import_is_taken_from_a_step_that_does_not_hear(make_conf, database_url, deaf):
    engine = Engine(make_conf(connection=database_url))
    with Running(engine) as conductor:
        image_id, task_id = start(engine, deaf)
        assert deaf[1].wait(10)
        with engine.db.writer() as session:
            tasks.request_cancel(session, task_id)
        assert until(lambda: ended(engine, task_id)) < 3
        check_released(engine, image_id, task_id, 'cancelled')
        assert 'plugin' not in engine.task(task_id).message
        # the conductor goes on with other imports, and the old step changes nothing any more
        other = engine.stage(2000)
        second = engine.post(other, plugins=[])
        until(lambda: engine.task(second).status == 'success')
        before = engine.image(image_id)
        deaf[2].set()
        until(lambda: not conductor._left)
        assert engine.image(image_id) == before
    engine.db.dispose()


def test_a_plugin_that_reports_nothing_stalls(make_conf, deaf):
    engine = Engine(make_conf('[import]\nplugin_timeout = 1\n'))
    with Running(engine):
        image_id, task_id = start(engine, deaf)
        until(lambda: ended(engine, task_id))
        check_released(engine, image_id, task_id, 'stalled')
        deaf[2].set()
    error = engine.task(task_id).error
    assert (error['plugin'], error['phase']) == ('deaf', 'run-plugin:deaf')
    assert "'deaf' failed" in error['message'] and 'more than 1 seconds' in error['message']


def test_a_deadline_holds_for_a_step_that_does_not_hear(make_conf, deaf):
    engine = Engine(make_conf())
    with Running(engine) as conductor:
        image_id, task_id = start(engine, deaf)
        assert deaf[1].wait(10)
        conductor._heartbeat.runs[0]._ends_at = time.monotonic()
        until(lambda: ended(engine, task_id))
        check_released(engine, image_id, task_id, 'deadline_exceeded')
        deaf[2].set()


@pytest.mark.parametrize(('why', 'code'), [('cancel', 'cancelled'), ('late', 'deadline_exceeded')])
def test_an_import_that_waits_is_ended_without_running_it(make_conf, database_url, why, code):
    engine = Engine(make_conf(connection=database_url))
    image_id = engine.stage()
    task_id = engine.post(image_id, plugins=['not-here'])
    with engine.db.writer() as session:
        if why == 'cancel':
            tasks.request_cancel(session, task_id)
        else:
            tasks.update(session, task_id, deadline_ms=1)
    engine.conductor().close_waiting()
    check_released(engine, image_id, task_id, code)
    engine.db.dispose()


def test_waiting_imports_show_their_place(make_conf, database_url):
    engine = Engine(make_conf(connection=database_url))
    posted = [engine.post(engine.stage(1000 + number)) for number in range(3)]
    assert [engine.task(task_id).progress['position'] for task_id in posted] == [1, 2, 3]
    with engine.db.writer() as session:
        assert jobs.claim(session, posted[0], 0, 'me', 60_000)
        tasks.start_attempt(session, posted[0])
    assert engine.task(posted[0]).progress is None
    assert [engine.task(task_id).progress['position'] for task_id in posted[1:]] == [1, 2]
    assert engine.task(posted[1]).progress['phase'] == 'waiting'
    engine.db.dispose()


def test_a_project_has_no_more_than_its_share(make_conf, database_url):
    engine = Engine(make_conf('[import]\nmax_per_project = 2\n', connection=database_url))
    greedy = [engine.post(engine.stage(1000 + number)) for number in range(30)]
    modest = engine.post(engine.stage(5000))
    with engine.db.writer() as session:
        session.execute(
            sa.update(models.jobs).where(models.jobs.c.uuid == modest).values(project='p2')
        )
        session.execute(
            sa.update(models.jobs).where(models.jobs.c.uuid != modest).values(project='p1')
        )
    board = engine.conductor()._jobboard
    listed = list(board.iterjobs())
    assert [job.uuid for job in listed] == greedy[:20]
    for job in listed[:2]:
        board.claim(job, 'me')
    with pytest.raises(Exception, match='claimed already'):
        board.claim(listed[2], 'me')
    assert [job.uuid for job in board.iterjobs()] == [modest]  # it passes those that wait
    board.consume(listed[0], 'me')
    assert next(job.uuid for job in board.iterjobs()) == greedy[2]
    board.claim(next(board.iterjobs()), 'me')
    with engine.db.writer() as session:
        tasks.request_cancel(session, greedy[9])
    engine.conductor().close_waiting()
    assert engine.task(greedy[9]).error['code'] == 'cancelled'  # it takes nobody's share
    engine.db.dispose()


def test_conductors_together_keep_to_the_share(make_conf, database_url):
    engine = Engine(make_conf('[import]\nmax_per_project = 1\n', connection=database_url))
    for number in range(8):
        engine.post(engine.stage(1000 + number))
    with engine.db.writer() as session:
        session.execute(sa.update(models.jobs).values(project='p1'))
    boards = [engine.conductor()._jobboard for _ in range(4)]
    listed = list(boards[0].iterjobs())
    gate, taken = threading.Barrier(4), []

    def grab(number):
        gate.wait()
        for job in listed[number::4]:
            try:
                boards[number].claim(job, f'c{number}')
                taken.append(job.uuid)
            except exceptions.GlanceLiteError:
                raise
            except Exception:
                continue

    threads = [threading.Thread(target=grab, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    engine.db.dispose()


def test_an_attempt_given_back_in_order_is_not_counted(make_conf):
    engine = Engine(make_conf())
    task_id = engine.post(engine.stage())
    board = engine.conductor()._jobboard
    for change, count in ((board.abandon, 0), (board.trash, 1), (board.abandon, 1)):
        job = next(board.iterjobs())
        board.claim(job, 'me')
        change(job, 'me')
        assert engine.task(task_id).attempts == count


def test_a_short_import_leaves_no_trace_in_the_tables_of_the_flow(make_conf):
    engine = Engine(make_conf())
    written = []
    conductor = engine.conductor()
    connection = conductor._storage._connection
    conductor._storage._connection = Noting(connection, written)
    task_id = engine.post(engine.stage())
    conductor.run_pending()
    assert engine.task(task_id).status == 'success' and written == []


class Noting:
    """A connection that notes what is called."""

    def __init__(self, connection, written):
        self._connection, self._written = connection, written

    def __getattr__(self, name):
        self._written.append(name)
        return getattr(self._connection, name)


def test_a_deleted_image_ends_its_waiting_import(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    task_id = engine.post(image_id)
    with engine.db.writer() as session:
        assert images.delete(session, image_id, [domain.IMPORTING])
        tasks.request_cancel(session, task_id)
    engine.conductor().close_waiting()
    assert engine.task(task_id).message == 'The image was deleted.'
    left = engine.leftovers()
    assert (left['jobs'], left['staging']) == (0, [])
