# SPDX-License-Identifier: Apache-2.0
"""The board with a doorbell: SQL decides, and entries only say when to ask it."""

import pytest
from taskflow import exceptions as taskflow_exceptions

from glance_lite.db import jobs
from tests.unit.jobs.conftest import MemoryBell


def post(engine, bell=None, count=1):
    """Post imports; announce them if there is a bell to ring."""
    area = engine.services.staging.area_id
    task_ids = [engine.post(engine.stage(1000 + n)) for n in range(count)]
    for task_id in task_ids if bell is not None else []:
        bell.post(task_id, area)
    return task_ids


def listed(board):
    return [job.uuid for job in board.iterjobs()]


def claim_first(board, who='me'):
    job = next(board.iterjobs())
    board.claim(job, who)
    return job


def expire(engine, job):
    with engine.db.writer() as session:
        assert jobs.renew(session, job.uuid, job.gen, -1000, None)


def test_the_database_is_not_asked_while_the_bell_is_silent(engine, make_board, bell):
    board = make_board()
    [task_id] = post(engine)
    assert listed(board) == []
    bell.post(task_id, None)
    assert listed(board) == [task_id]


def test_a_bell_that_is_down_is_done_without(engine, make_board, bell):
    bell.answers = False
    board = make_board()
    [task_id] = post(engine)
    assert listed(board) == [task_id]  # it finds out
    assert not bell.is_up and listed(board) == [task_id]
    job = claim_first(board)
    board.consume(job, 'me')
    assert engine.leftovers()['jobs'] == 0


@pytest.mark.parametrize('moment', range(1, 8))
def test_a_bell_that_dies_at_any_moment_stops_nothing(engine, make_board, bell, moment):
    dying = MemoryBell()
    board = make_board(ring=dying)
    post(engine, dying)
    use, alive = dying._use, dying.asked + moment

    def count():
        dying.answers = dying.asked < alive - 1
        use()

    dying._use = count
    job = claim_first(board)
    board.consume(job, 'me')
    assert engine.leftovers()['jobs'] == 0


def test_the_oldest_is_offered_first_whatever_the_board_says(engine, make_board, bell):
    task_ids = post(engine, count=4)
    for task_id in reversed(task_ids):
        bell.post(task_id, None)
    assert listed(make_board()) == task_ids


def test_an_entry_lives_as_long_as_its_import(engine, make_board, bell):
    board, other = make_board(), make_board('other')
    [task_id] = post(engine, bell)
    job = claim_first(board)
    assert bell.tasks() == [task_id] and listed(other) == []
    board.abandon(job, 'me')
    assert listed(other) == [task_id]
    job = claim_first(other, 'other')
    other.consume(job, 'other')
    assert bell.tasks() == [] and not bell.owners


def test_who_gets_the_entry_but_not_the_lease_gives_it_back(engine, make_board, bell):
    board = make_board()
    [task_id] = post(engine, bell)
    job = next(board.iterjobs())
    with engine.db.writer() as session:  # a conductor that does not hear the bell
        assert jobs.claim(session, task_id, 0, 'other', 60_000)
    with pytest.raises(taskflow_exceptions.UnclaimableJob):
        board.claim(job, 'me')
    assert bell.tasks() == [task_id] and not bell.owners
    assert listed(board) == []


def test_who_does_not_get_the_entry_does_not_try_the_lease(engine, make_board, bell):
    board = make_board()
    [task_id] = post(engine, bell)
    job = next(board.iterjobs())
    bell.claim(bell.list_all()[task_id], 'other')
    with pytest.raises(taskflow_exceptions.UnclaimableJob):
        board.claim(job, 'me')
    with engine.db.reader() as session:
        assert jobs.get(session, task_id).gen == 0


def test_the_entry_of_a_lost_import_is_left_to_who_took_it(engine, make_board, bell):
    board, other = make_board(), make_board('other')
    [task_id] = post(engine, bell)
    job = claim_first(board)
    expire(engine, job)
    bell.owners.clear()  # the claim ran out as well
    taken = claim_first(other, 'other')
    for change in (board.consume, board.abandon):
        with pytest.raises(taskflow_exceptions.NotFound):
            change(job, 'me')
    assert bell.tasks() == [task_id] and list(bell.owners.values()) == ['other']
    other.consume(taken, 'other')
    assert bell.tasks() == []


def test_entries_of_finished_imports_are_removed(engine, make_board, bell):
    [task_id] = post(engine, bell)
    bell.post('over', None)
    bell.post(task_id, None)  # posted twice
    board = make_board()
    board.consume(claim_first(board), 'me')
    assert listed(board) == [] and bell.tasks() == []


def test_the_entry_of_a_running_import_stays_and_is_not_asked_for_all_the_time(
    engine, make_board, bell
):
    board, other = make_board(), make_board('other')
    [task_id] = post(engine, bell)
    claim_first(board)
    bell.owners.clear()  # as after a restart with old data
    assert listed(other) == [] and bell.tasks() == [task_id]
    assert list(other._aside) == [task_id]


def test_imports_staged_elsewhere_are_not_heard_of(engine, make_board, bell):
    [task_id] = post(engine)
    bell.post(task_id, 'another area')
    assert listed(make_board()) == [] and bell.tasks() == [task_id]


def test_no_board_but_sql_without_connecting(make_conf, engine):
    from glance_lite.jobs import board, hinted_board, sql_board

    conf = make_conf()
    assert type(board.load_board(conf, engine.db, [], 'me')) is sql_board.SQLJobBoard
    conf = make_conf('job_board = redis\nboard_url = redis://127.0.0.1:1\n')
    found = board.load_board(conf, engine.db, [engine.services.staging.area_id], 'me')
    assert type(found) is hinted_board.HintedBoard
    [task_id] = post(engine)
    assert listed(found) == [task_id]  # run_pending() needs no board
