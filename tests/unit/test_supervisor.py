# SPDX-License-Identifier: Apache-2.0
"""The supervisor with real forks of this process, each of which ends at once."""

import os
import select
import signal
import threading

import pytest

from glance_lite.supervisor import EX_CONFIG, Stop, Supervisor, restart_delay


@pytest.mark.parametrize(
    'short_lives, seconds', [(0, 0), (1, 0.5), (2, 1), (4, 4), (7, 30), (10_000, 30)]
)
def test_restart_delay_doubles_up_to_a_limit(short_lives, seconds):
    assert restart_delay(short_lives) == seconds


def test_stop_is_seen_by_waiters_and_pollers():
    stop = Stop()
    assert not stop.is_set() and not stop.wait(0)
    assert select.select([stop], [], [], 0)[0] == []
    threading.Timer(0.01, stop.set).start()
    assert stop.wait(10)
    stop.set()
    assert stop.is_set() and stop.wait(10) and stop.wait()
    assert select.select([stop], [], [], 0)[0] == [stop]


@pytest.fixture
def written():
    """A pipe: children write what they did, the test reads all of it at the end."""
    read, write = os.pipe()
    with open(read, 'rb') as reader:

        def tell(text):
            os.write(write, text.encode() + b'\n')

        def told():
            os.close(write)
            return sorted(reader.read().decode().split())

        tell.all = told
        yield tell


def stop_the_parent(_stop):
    os.kill(os.getppid(), signal.SIGTERM)


def test_children_are_stopped_and_the_exit_code_is_zero(written):
    def child(stop):
        stop.wait()
        written('stopped')

    before = signal.getsignal(signal.SIGTERM)
    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', child, count=3)
    supervisor.add('last', stop_the_parent)
    assert supervisor.run() == 0
    assert written.all() == ['stopped'] * 3
    assert signal.getsignal(signal.SIGTERM) is before


def test_configuration_error_stops_everything_with_its_code(written):
    def child(stop):
        stop.wait()
        written('stopped')

    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('good', child)
    supervisor.add('bad', lambda stop: EX_CONFIG)
    assert supervisor.run() == EX_CONFIG
    assert written.all() == ['stopped']


def test_system_exit_of_a_child_counts(written):
    def child(stop):
        raise SystemExit(EX_CONFIG)

    supervisor = Supervisor()
    supervisor.add('bad', child)
    assert supervisor.run() == EX_CONFIG


def test_child_that_ignores_the_stop_is_killed(written):
    def child(stop):
        stop.wait()
        os.kill(os.getppid(), 0)
        threading.Event().wait()

    supervisor = Supervisor(graceful_timeout_seconds=0.05)
    supervisor.add('stubborn', child)
    supervisor.add('last', stop_the_parent)
    assert supervisor.run() == 0


def test_hangup_goes_to_the_children(written):
    def child(stop):
        def hung_up(*_):
            written('hup')
            os.kill(os.getppid(), signal.SIGTERM)

        signal.signal(signal.SIGHUP, hung_up)
        os.kill(os.getppid(), signal.SIGHUP)
        stop.wait()

    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', child)
    assert supervisor.run() == 0
    assert written.all() == ['hup']


def test_command_runs_with_its_environment(written, tmp_path):
    mark = tmp_path / 'mark'
    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add_command(
        'shell',
        ['sh', '-c', 'echo $WORD > "$MARK"; kill -TERM $PPID; sleep 10'],
        {'PATH': os.environ['PATH'], 'WORD': 'hello', 'MARK': str(mark)},
    )
    assert supervisor.run() == 0
    assert mark.read_text() == 'hello\n'


def test_unknown_command_is_reported_and_retried(caplog):
    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add_command('missing', ['/nonexistent/program'])

    def last(stop):
        stop.wait(0.1)
        os.kill(os.getppid(), signal.SIGTERM)

    supervisor.add('last', last)
    assert supervisor.run() == 0
    assert 'missing' in caplog.text and 'exit code 127; restarting' in caplog.text
