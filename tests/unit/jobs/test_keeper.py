# SPDX-License-Identifier: Apache-2.0
"""Reconciliation: what waits is on the board, what runs is not posted a second time."""

import pytest

from glance_lite.db import jobs
from glance_lite.jobs.doorbell import BoardDown
from glance_lite.jobs.keeper import Keeper
from tests.unit.jobs.test_hinted_board import claim_first, expire, post


@pytest.fixture
def keeper(engine, bell):
    return Keeper(engine.db, bell, 'me', 60, 10)


def test_what_waits_is_posted_once_the_oldest_first(engine, bell, keeper):
    task_ids = post(engine, count=5)
    bell.post(task_ids[2], None)
    assert keeper.reconcile() and keeper.reconcile()
    assert bell.tasks() == [task_ids[n] for n in (2, 0, 1, 3, 4)]
    area = engine.services.staging.area_id
    assert {e.details['area'] for e in bell.entries.values() if e.number} == {area}


def test_what_runs_is_posted_when_its_lease_has_run_out(engine, bell, keeper, make_board):
    [task_id] = post(engine, bell)
    job = claim_first(make_board())
    bell.forget()
    keeper.reconcile()
    assert bell.tasks() == []
    expire(engine, job)
    keeper.reconcile()
    assert bell.tasks() == [task_id]


def test_a_board_that_comes_back_empty_is_filled_at_once(engine, bell, keeper):
    keeper.tick()
    task_ids = post(engine, count=3)
    keeper.tick()
    assert bell.tasks() == []  # not yet due
    bell.is_up = False
    keeper.tick()
    assert bell.tasks() == task_ids


def test_a_board_that_does_not_answer_is_tried_again_later(engine, bell, keeper):
    bell.is_up = bell.answers = False
    tried = []
    connect = bell.connect
    bell.connect = lambda: tried.append(1) or connect()
    for _ in range(3):
        keeper.tick()
    assert len(tried) == 1
    bell.is_up = True
    with pytest.raises(BoardDown):
        keeper.tick()


def test_a_running_import_gets_its_entry_back(engine, bell, make_board):
    board = make_board()
    [task_id] = post(engine, bell)
    job = claim_first(board)
    bell.forget()
    bell.post(task_id, None)  # by the API, say
    keeper = board._keeper
    keeper.tick()  # the claim is gone
    keeper.reconcile()
    assert list(bell.owners.values()) == ['me']
    board.consume(job, 'me')
    assert bell.tasks() == []


def test_an_import_given_back_without_an_entry_is_posted_soon(engine, bell, make_board):
    board = make_board()
    [task_id] = post(engine, bell)
    job = claim_first(board)
    board._keeper.tick()
    bell.forget()
    board._keeper.tick()
    board.abandon(job, 'me')
    board._keeper.tick()
    assert bell.tasks() == [task_id]


def test_what_is_given_back_at_the_end_is_posted(engine, bell, make_board):
    board = make_board()
    [task_id] = post(engine, bell)
    job = claim_first(board)
    board._keeper.tick()
    bell.forget()
    board._keeper.tick()
    board.abandon(job, 'me')
    board.close()
    assert bell.tasks() == [task_id] and not bell.is_up


def test_a_large_backlog_is_posted_in_goes(engine, bell, keeper):
    with engine.db.writer() as session:
        for number in range(450):
            jobs.post(session, f't{number}', 'import', {})
    assert not keeper.reconcile() and len(bell.entries) == 200
    keeper.tick()
    keeper.tick()
    assert bell.tasks() == [f't{number}' for number in range(450)]


def test_the_thread_connects_and_ends(engine, bell, keeper):
    bell.is_up = False
    keeper.start()
    keeper.stop()
    assert bell.is_up


def test_a_lost_claim_makes_the_board_be_compared_soon(engine, bell, make_board):
    board = make_board()
    running, waiting = post(engine, bell, 2)
    claim_first(board)
    board._keeper.tick()
    bell.forget()  # and it answers all the time
    board._keeper.tick()
    board._keeper.tick()
    assert bell.tasks() == [waiting] and running != waiting
