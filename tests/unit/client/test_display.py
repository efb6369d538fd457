# SPDX-License-Identifier: Apache-2.0
"""Phases on a terminal and in a log file."""

import io

import pytest

from glance_lite.client.display import Display

MIB = 1 << 20


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_without_a_terminal_each_phase_is_one_plain_line(clock):
    stream = io.StringIO()
    display = Display(stream, clock=clock)
    display.update('stage', 0, 64 * MIB)
    clock.now = 2.0
    display.update('stage', 64 * MIB, 64 * MIB)
    display.update('verify-staged')
    display.end_phase()
    assert stream.getvalue().splitlines() == [
        '  stage                  64.0 MiB in 2.0 s, 32.0 MiB/s',
        '  verify-staged          done',
    ]


def test_a_terminal_sees_a_bar_with_rate_and_time_left(clock, monkeypatch):
    monkeypatch.setenv('COLUMNS', '120')
    stream = io.StringIO()
    display = Display(stream, live=True, clock=clock)
    display.update('stage', 0, 64 * MIB)
    clock.now = 1.0
    display.update('stage', 16 * MIB, 64 * MIB)
    bar = '[#####---------------]  25% of 64.0 MiB  16.0 MiB/s  3.0 s left'
    assert stream.getvalue().rsplit('\r\x1b[K', 1)[1] == f'  stage                  {bar}'


@pytest.mark.parametrize('columns', [70, 80, 100])
def test_the_bar_gives_way_to_the_figures(clock, monkeypatch, columns):
    monkeypatch.setenv('COLUMNS', str(columns))
    stream = io.StringIO()
    display = Display(stream, live=True, clock=clock)
    display.update('stage', 0, 64 * MIB)
    clock.now = 1.0
    display.update('stage', 16 * MIB, 64 * MIB)
    line = stream.getvalue().rsplit('\r\x1b[K', 1)[1]
    assert line.endswith(' 25% of 64.0 MiB  16.0 MiB/s  3.0 s left')
    assert len(line) < columns
    assert ('[#' in line) is (columns > 70)


def test_a_line_never_wraps_on_a_narrow_terminal(clock, monkeypatch):
    monkeypatch.setenv('COLUMNS', '40')
    stream = io.StringIO()
    display = Display(stream, live=True, clock=clock)
    clock.now = 1.0
    display.update('run-plugin:with_a_rather_long_name', 10 * MIB, 64 * MIB)
    assert max(map(len, stream.getvalue().split('\r\x1b[K'))) <= 39


def test_a_terminal_is_not_flooded(clock):
    stream = io.StringIO()
    display = Display(stream, live=True, clock=clock)
    for done in range(1000):
        clock.now = done / 10000
        display.update('stage', done, 1000)
    assert stream.getvalue().count('\r') <= 3


def test_a_note_does_not_cut_through_a_running_line(clock):
    stream = io.StringIO()
    display = Display(stream, live=True, clock=clock)
    display.update('stage', 1, 2)
    display.note('Something else.')
    assert '\r\x1b[KSomething else.\n\r\x1b[K  stage' in stream.getvalue()


def test_a_failed_phase_says_how_far_it_came(clock):
    stream = io.StringIO()
    display = Display(stream, clock=clock)
    display.update('download', 3 * MIB, None)
    display.end_phase(failed=True)
    assert stream.getvalue() == '  download               failed at 3.0 MiB\n'


def test_a_recorded_phase_replaces_the_running_line(clock):
    stream = io.StringIO()
    display = Display(stream, clock=clock)
    display.wait('waiting for a worker')
    display.record('confirm-claim', 0, 0.7)
    display.end_phase()
    assert stream.getvalue() == '  confirm-claim          done in 0.7 s\n'


def test_waiting_leaves_no_line_behind(clock):
    stream = io.StringIO()
    display = Display(stream, clock=clock)
    display.wait('waiting for a worker')
    clock.now = 5.0
    display.update('download')
    display.end_phase()
    display.wait('importing')
    display.end_phase()
    assert stream.getvalue() == '  download               done\n'
