# SPDX-License-Identifier: Apache-2.0
"""Waiting for tasks: woken by a change or by the clock, with one look for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from glance_lite import watching
from glance_lite.db import tasks
from glance_lite.domain import task as domain
from glance_lite.watching import TaskWatch
from tests.engine import Engine

PATIENCE_SECONDS = 20
UNFINISHED = {'pending': 'pending', 'other': 'pending'}


@pytest.fixture
def engine(conf: Any) -> Iterator[Engine]:
    found = Engine(conf)
    with found.db.writer() as session:
        for name in UNFINISHED:
            tasks.insert(session, domain.Task(name, None, 'p1'))
    yield found
    found.db.dispose()


class Woken:
    """Counts how often it was called."""

    def __init__(self) -> None:
        self.count = 0
        self._event = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self._event.set()

    def is_called_within(self, seconds: float) -> bool:
        return self._event.wait(seconds)


def change(engine: Engine, task_id: str) -> None:
    with engine.db.writer() as session:
        assert tasks.update(session, task_id, status=domain.PROCESSING)


def test_a_change_wakes_those_who_wait_for_that_task(engine: Engine) -> None:
    watch, mine, others = TaskWatch(engine.db), Woken(), Woken()
    watch.wait({'pending': 'pending'}, 600, mine)
    watch.wait({'other': 'pending'}, 600, others)
    assert not mine.is_called_within(3 * watching.LOOK_SECONDS)
    change(engine, 'pending')
    assert mine.is_called_within(PATIENCE_SECONDS)
    assert not others.is_called_within(2 * watching.LOOK_SECONDS)
    change(engine, 'other')
    assert others.is_called_within(PATIENCE_SECONDS)
    time.sleep(2 * watching.LOOK_SECONDS)
    assert (mine.count, others.count) == (1, 1)


def test_what_changed_before_the_wait_began_is_not_missed(engine: Engine) -> None:
    change(engine, 'pending')
    woken = Woken()
    TaskWatch(engine.db).wait({'pending': 'pending'}, 600, woken)
    assert woken.is_called_within(PATIENCE_SECONDS)


def test_a_task_that_is_gone_has_changed(engine: Engine) -> None:
    woken = Woken()
    TaskWatch(engine.db).wait({'never-was': 'pending'}, 600, woken)
    assert woken.is_called_within(PATIENCE_SECONDS)


def test_time_is_over_though_the_database_is_away(engine: Engine) -> None:
    class Away:
        def read(self, work: Any) -> Any:
            raise OSError('away')

    for db in (engine.db, Away()):
        woken, began = Woken(), time.monotonic()
        TaskWatch(db).wait(UNFINISHED, 1, woken)  # type: ignore[arg-type]
        assert woken.is_called_within(PATIENCE_SECONDS)
        assert time.monotonic() - began >= 1


def test_one_look_is_enough_for_a_thousand(engine: Engine) -> None:
    class Counting:
        looks = 0

        def read(self, work: Any) -> Any:
            self.looks += 1
            return engine.db.read(work)

    db, others = Counting(), set(threading.enumerate())  # others: what earlier tests left to wait
    watch, woken = TaskWatch(db), [Woken() for _ in range(1000)]  # type: ignore[arg-type]
    seen = UNFINISHED | {f'gone-{number}': 'x' for number in range(1200)}  # in several statements
    for each in woken[:-1]:
        watch.wait(UNFINISHED, 600, each)
    watch.wait(seen, 600, woken[-1])
    assert woken[-1].is_called_within(PATIENCE_SECONDS)
    before = db.looks
    change(engine, 'other')
    assert all(each.is_called_within(PATIENCE_SECONDS) for each in woken)
    assert db.looks - before < 100
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(each.name == 'task-watch' for each in set(threading.enumerate()) - others):
        assert time.monotonic() < deadline, 'nobody waits, and yet it looks'
        time.sleep(0.05)


def test_who_comes_when_too_many_wait_is_woken_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, 'MOST_WAITING', 1)
    watch, first, second = TaskWatch(engine.db), Woken(), Woken()
    watch.wait(UNFINISHED, 600, first)
    watch.wait(UNFINISHED, 600, second)
    assert (first.count, second.count) == (0, 1)
    change(engine, 'other')
    assert first.is_called_within(PATIENCE_SECONDS)
