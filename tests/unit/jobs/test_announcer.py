# SPDX-License-Identifier: Apache-2.0
"""Announcing never waits and never fails; where the database is the board it is nothing."""

import threading
import time

from glance_lite.jobs.address import parse_url
from glance_lite.jobs.announcer import Announcer


def test_without_a_board_there_is_nothing_to_do(conf, engine):
    announcer = Announcer.from_conf(conf, engine.db)
    before = threading.active_count()
    announcer.announce('t')
    assert threading.active_count() == before
    announcer.close()
    assert engine.services.announcer.announce('t') is None


def test_a_board_that_is_not_there_costs_the_caller_nothing(engine):
    announcer = Announcer(engine.db, parse_url('redis', 'redis://127.0.0.1:1'))
    start = time.monotonic()
    for number in range(5000):
        announcer.announce(f't{number}')
    assert time.monotonic() - start < 2
    announcer.close()
    assert announcer._thread is not None and not announcer._thread.is_alive()
