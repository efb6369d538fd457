# SPDX-License-Identifier: Apache-2.0
"""A doorbell in memory, and boards that listen to it."""

import itertools
import types

import pytest

from glance_lite.jobs.doorbell import BoardDown
from glance_lite.jobs.hinted_board import HintedBoard
from tests.engine import Engine


class MemoryBell:
    """A board that several conductors share, with switches for what can go wrong."""

    def __init__(self):
        self.entries = {}
        self.owners = {}
        self.is_up = True
        self.answers = True
        self.asked = 0
        self._numbers = itertools.count()

    def connect(self):
        self.is_up = self.answers
        return self.is_up

    def close(self):
        self.is_up = False

    def forget(self):
        self.entries.clear()
        self.owners.clear()

    def post(self, task_id, area):
        self._use()
        number = next(self._numbers)
        details = {'task_id': task_id, 'area': area}
        self.entries[number] = types.SimpleNamespace(number=number, details=details)

    def list_all(self):
        self._use()
        return {entry.details['task_id']: entry for entry in self.entries.values()}

    def list_unclaimed(self):
        self._use()
        yield from [entry for n, entry in self.entries.items() if n not in self.owners]

    def claim(self, entry, who):
        self._use()
        if entry.number not in self.entries:
            return False
        return self.owners.setdefault(entry.number, who) == who

    def extend(self, entry, who):
        self._use()
        return self.owners.get(entry.number) == who

    def remove(self, entry, who):
        if self.extend(entry, who):
            del self.entries[entry.number], self.owners[entry.number]

    def abandon(self, entry, who):
        if self.extend(entry, who):
            del self.owners[entry.number]

    def tasks(self):
        return [entry.details['task_id'] for entry in self.entries.values()]

    def _use(self):
        self.asked += 1
        if not (self.is_up and self.answers):
            self.is_up = False
            raise BoardDown('memory')


@pytest.fixture
def bell():
    return MemoryBell()


@pytest.fixture
def engine(make_conf):
    found = Engine(make_conf())
    yield found
    found.db.dispose()


@pytest.fixture
def make_board(engine, bell):
    """Return a function that makes the board of a conductor with this name."""

    def make(who='me', lease=60, ring=None):
        return HintedBoard(
            'imports',
            engine.db,
            lease,
            [engine.services.staging.area_id],
            who,
            ring or bell,
            10,
        )

    return make
