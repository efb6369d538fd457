# SPDX-License-Identifier: Apache-2.0
"""Imports with a board beside the database: it is heard, and whatever it forgets is not lost."""

import contextlib
import sys
import time
from pathlib import Path

import pytest

from glance_lite.jobs.address import parse_url
from glance_lite.jobs.announcer import Announcer
from glance_lite.jobs.doorbell import BoardDown, Doorbell
from tests.engine import Engine
from tests.functional.board_servers import SERVERS, board_server
from tests.functional.processes import program, running, wait_for
from tests.functional.service import service

LEASE = 2.0
#: A reconciliation that comes too late to help a test.
NEVER = 3600


@pytest.fixture(params=SERVERS)
def server(request, tmp_path_factory):
    with board_server(request.param, tmp_path_factory.mktemp('board')) as found:
        yield found


@pytest.fixture
def make_engine(server, make_conf):
    """Return a function that makes an engine with the board, reconciled so often."""
    engines = []

    def make(reconcile=NEVER, extra=''):
        conf = make_conf(
            f'job_board = {server.kind}\nboard_url = {server.url}\nlease = {LEASE}\n'
            f'reconcile_interval = {reconcile}\n' + extra
        )
        engines.append(Engine(conf))
        return engines[-1]

    yield make
    for engine in engines:
        engine.db.dispose()


@pytest.fixture
def announce(server):
    """Return a function that announces as the API does, when there is an engine."""
    made = {}

    def announce(engine, task_id):
        if engine not in made:
            made[engine] = Announcer.from_conf(engine.services.conf, engine.db)
        made[engine].announce(task_id)

    yield announce
    for announcer in made.values():
        announcer.close()


@contextlib.contextmanager
def conductors(tmp_path, count=1, **env):
    """Run conductors; wait until they hear the board, if it is there."""
    program_or_test = (
        [sys.executable, str(Path(__file__).parent / 'paused_conductor.py')]
        if env
        else [program('glance-lite-conductor')]
    )
    with contextlib.ExitStack() as stack:
        found = [
            stack.enter_context(
                running(
                    [*program_or_test, '--config-file', str(tmp_path / 'glance-api.conf')],
                    tmp_path / f'conductor-{number}{"-paused" if env else ""}.log',
                    env,
                )
            )
            for number in range(count)
        ]
        for each in found:
            wait_for(lambda each=each: 'The job board' in each.text(), 30, 'a look at the board')
        yield found


def entries(server):
    """Return the tasks that have an entry on the board."""
    bell = Doorbell(parse_url(server.kind, server.url), LEASE)
    try:
        assert bell.connect()
        return set(bell.list_all())
    finally:
        bell.close()


def statuses(engine, task_ids):
    return [engine.task(task_id).status for task_id in task_ids]


def wait_for_success(engine, task_ids, seconds):
    return wait_for(
        lambda: set(statuses(engine, task_ids)) == {'success'}, seconds, 'the end of the imports'
    )


def check_nothing_is_left(engine, server, count):
    wait_for(lambda: engine.leftovers()['jobs'] == 0, 5, 'an empty job table')
    wait_for(lambda: not entries(server), 10, 'an empty board')
    left = engine.leftovers()
    assert (left['flows'], left['staging'], len(left['fast'])) == (0, [], count)


def post(engine, count=1):
    images = [engine.stage(10_000 + number) for number in range(count)]
    return [engine.post(image_id) for image_id in images]


def test_the_service_announces_its_imports(tmp_path, server):
    extra = (
        f'[conductor]\njob_board = {server.kind}\nboard_url = {server.url}\n'
        f'reconcile_interval = {NEVER}\n'
    )
    with service(tmp_path, extra=extra) as found:
        wait_for(
            lambda: (
                f'The job board {server.kind} at 127.0.0.1:{server.port} answers'
                in found.process.text()
            ),
            30,
            'the conductor at the board',
        )
        images = [found.create(name=f'disk {number}') for number in range(5)]
        for image_id in images:
            assert found.put(image_id, image_id.encode() * 1000).status_code == 204
            assert found.post_import(image_id).status_code == 202
        assert [found.wait(image_id, 30)['status'] for image_id in images] == ['success'] * 5
        wait_for(lambda: not entries(server), 10, 'an empty board')
        log = found.process.text()
    assert 'ERROR' not in log and 'Traceback' not in log, log


def test_an_import_of_a_killed_conductor_is_found_on_the_board(
    tmp_path, server, make_engine, announce
):
    engine = make_engine()
    reached = tmp_path / 'reached'
    pause = {'PAUSE_STEP': 'verify-staged', 'PAUSE_FILE': str(reached)}
    with conductors(tmp_path, **pause) as (paused,):
        [task_id] = post(engine)
        announce(engine, task_id)
        wait_for(reached.exists, 30, 'the step')
        wait_for(lambda: task_id in entries(server), 5, 'the entry')
        with conductors(tmp_path, 2):
            paused.kill()
            took = wait_for_success(engine, [task_id], 30)
            print(f'{server.kind}: killed -> done in {took:.1f} s, lease {LEASE} s')
            # the session of ZooKeeper is not shorter than 2 ticks of the server
            assert took < 2 * LEASE + 2
            check_nothing_is_left(engine, server, 1)
    assert engine.task(task_id).attempts == 2


@pytest.mark.parametrize('keeps', [True, False], ids=['with its data', 'empty'])
def test_a_board_that_is_killed_and_restarted_loses_no_import(
    tmp_path, server, make_engine, announce, keeps
):
    engine = make_engine(reconcile=5)
    with conductors(tmp_path, 2):
        task_ids = post(engine, 60)
        for number, task_id in enumerate(task_ids):
            announce(engine, task_id)
            if number == 20:
                server.kill()
            if number == 40:
                if not keeps:
                    server.forget()
                server.start()
        took = wait_for_success(engine, task_ids, 60)
        print(f'{server.kind}: restarted -> all done in {took:.1f} s')
        check_nothing_is_left(engine, server, 60)
        [task_id] = post(engine)  # and the bell is of use again
        announce(engine, task_id)
        wait_for_success(engine, [task_id], 10)


def test_a_running_import_stays_where_it_is_when_the_board_forgets_it(
    tmp_path, server, make_engine, announce
):
    engine = make_engine(reconcile=1)
    reached = tmp_path / 'reached'
    pause = {'PAUSE_STEP': 'verify-staged', 'PAUSE_FILE': str(reached)}
    with conductors(tmp_path, **pause) as (paused,):
        [task_id] = post(engine)
        announce(engine, task_id)
        wait_for(reached.exists, 30, 'the step')
        with conductors(tmp_path) as (other,):
            server.kill()
            server.forget()
            for each in (paused, other):
                wait_for(lambda each=each: 'not answer' in each.text(), 10, 'the loss noticed')
            server.start()
            for each in (paused, other):
                wait_for(lambda each=each: each.text().count('answers') == 2, 30, 'it is back')
            with pytest.raises(AssertionError):
                wait_for(lambda: engine.task(task_id).attempts > 1, 2 * LEASE)
            paused.kill()
            wait_for_success(engine, [task_id], 10)
            check_nothing_is_left(engine, server, 1)


def test_imports_of_before_the_conductors_are_posted_at_their_start(tmp_path, server, make_engine):
    engine = make_engine()
    task_ids = post(engine, 12)
    with conductors(tmp_path, 2):
        wait_for_success(engine, task_ids, 30)
        check_nothing_is_left(engine, server, 12)


def test_an_import_that_nobody_announced_is_found_by_reconciliation(tmp_path, server, make_engine):
    engine = make_engine(reconcile=1)
    with conductors(tmp_path):
        for _ in range(3):
            task_ids = post(engine, 2)
            assert wait_for_success(engine, task_ids, 10) < 5
        check_nothing_is_left(engine, server, 6)


def test_imports_go_on_while_the_board_is_away(tmp_path, server, make_engine, announce):
    engine = make_engine()
    server.kill()
    with conductors(tmp_path, 1) as (conductor,):
        task_ids = post(engine, 5)
        for task_id in task_ids:
            announce(engine, task_id)
        took = wait_for_success(engine, task_ids, 10)
        print(f'{server.kind}: 5 imports without the board in {took:.1f} s')
        assert conductor.text().count('does not answer') == 1
        server.start()
        wait_for(lambda: ' answers' in conductor.text(), 30, 'the conductor at the board')
        [task_id] = post(engine)
        wait_for(lambda: not entries(server) or engine.task(task_id).status == 'success', 5)
        announce(engine, task_id)
        wait_for_success(engine, [task_id], 10)
        check_nothing_is_left(engine, server, 6)


def test_requests_do_not_wait_for_a_board_that_is_away(tmp_path, server):
    server.kill()
    extra = (
        f'[conductor]\njob_board = {server.kind}\nboard_url = {server.url}\n'
        f'reconcile_interval = {NEVER}\n'
    )
    with service(tmp_path, extra=extra) as found:
        for _ in range(3):
            image_id = found.create()
            assert found.put(image_id, b'x' * 1000).status_code == 204
            start = time.monotonic()
            assert found.post_import(image_id).status_code == 202
            assert time.monotonic() - start < 1
            assert found.wait(image_id, 10)['status'] == 'success'
        log = found.process.text()
    assert 'ERROR' not in log and 'Traceback' not in log, log


def test_a_board_that_hangs_delays_imports_by_its_timeout_at_most(
    tmp_path, server, make_engine, announce
):
    engine = make_engine()
    with conductors(tmp_path):
        [first] = post(engine)
        announce(engine, first)
        wait_for_success(engine, [first], 10)
        server.freeze()
        task_ids = post(engine, 5)
        for task_id in task_ids:
            announce(engine, task_id)
        took = wait_for_success(engine, task_ids, 30)
        print(f'{server.kind}: 5 imports after the board hung in {took:.1f} s')
        assert took < 8


def test_stale_entries_are_taken_from_the_board(tmp_path, server, make_engine):
    make_engine()
    bell = Doorbell(parse_url(server.kind, server.url), LEASE)
    assert bell.connect()
    for number in range(30):
        bell.post(f'over-{number}', None)
    with conductors(tmp_path):
        wait_for(lambda: not entries(server), 20, 'an empty board')
    bell.close()
    with pytest.raises(BoardDown):
        bell.list_all()
