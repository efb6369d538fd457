# SPDX-License-Identifier: Apache-2.0
"""The supervisor with real forks of this process, each of which ends at once."""

import os
import select
import signal
import threading

import pytest

from glance_lite.supervisor import EX_CONFIG, Hangup, Stop, Supervisor, restart_delay


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


def test_a_function_is_called_once_when_it_begins_to_stop(written):
    def child(stop):
        stop.wait()
        written('stopped')

    def stop_twice(stop):
        stop_the_parent(stop)
        stop_the_parent(stop)
        child(stop)

    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', child)
    supervisor.add('stopper', stop_twice)
    order = []
    supervisor.on_stop(lambda: order.append(written('parent')))
    assert supervisor.run() == 0
    assert len(order) == 1
    assert written.all() == ['parent', 'stopped', 'stopped']


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


def test_a_hangup_is_found_once_however_many_came():
    hangup = Hangup()
    assert not hangup.take(0)
    hangup.set()
    hangup.set()
    assert hangup.take() and not hangup.take(0)
    threading.Timer(0.01, hangup.set).start()
    assert hangup.take(10)


def test_a_child_finds_a_hangup_that_came_before_it_looked(written):
    def child(stop):
        os.kill(os.getpid(), signal.SIGHUP)
        written(f'hup:{stop.hangup.take(10)}')
        stop_the_parent(stop)

    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', child)
    assert supervisor.run() == 0
    assert written.all() == ['hup:True']


def supervise_hangup(written, check, accept):
    """Run a worker that hangs up its supervisor, and one that stops it a while later."""

    def worker(stop):
        os.kill(os.getppid(), signal.SIGHUP)
        if stop.hangup.take(0.5):
            written('hup')
        stop_the_parent(stop)

    def checked(stop):
        written('checked')
        return check()

    def accepted():
        written('accepted')
        return accept()

    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', worker)
    supervisor.on_hangup('check', checked, accepted)
    assert supervisor.run() == 0
    return written.all()


def test_a_hangup_goes_on_when_it_is_checked_and_accepted(written):
    assert supervise_hangup(written, lambda: None, lambda: True) == ['accepted', 'checked', 'hup']


def test_a_hangup_that_fails_the_check_goes_no_further(written):
    assert supervise_hangup(written, lambda: EX_CONFIG, lambda: True) == ['checked']


def test_a_hangup_that_is_not_accepted_goes_no_further(written):
    assert supervise_hangup(written, lambda: 0, lambda: False) == ['accepted', 'checked']


def test_a_check_that_dies_keeps_the_hangup_back(written, caplog):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    assert supervise_hangup(written, die, lambda: True) == ['checked']
    assert 'check ended by signal SIGKILL' in caplog.text


def test_a_hangup_during_a_check_is_checked_after_it(written):
    def check(stop):
        written('begun')
        os.kill(os.getppid(), signal.SIGHUP)  # for the second check, which stops it all
        if counted.take(0):
            stop_the_parent(stop)
            stop.wait(10)
        counted.set()

    counted = Hangup()  # shared with the children, which are forks
    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', lambda stop: stop.wait())
    supervisor.on_hangup('check', check, lambda: True)
    supervisor.add('first', lambda stop: os.kill(os.getppid(), signal.SIGHUP) or stop.wait())
    assert supervisor.run() == 0
    assert written.all() == ['begun', 'begun']


def test_a_check_ends_with_its_supervisor(written):
    def check(stop):
        stop_the_parent(stop)
        stop.wait()
        written('stopped')

    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', lambda stop: os.kill(os.getppid(), signal.SIGHUP) or stop.wait())
    supervisor.on_hangup('check', check, lambda: True)
    assert supervisor.run() == 0
    assert written.all() == ['stopped']


def test_what_was_accepted_is_there_for_children_that_are_started_afterwards(written):
    state = ['before']

    def accept():
        state[:] = ['after']
        return True

    def worker(stop):
        written(state[0])
        if state[0] == 'after':
            return stop_the_parent(stop)
        os.kill(os.getppid(), signal.SIGHUP)
        stop.hangup.take()  # and end, to be started again

    supervisor = Supervisor(graceful_timeout_seconds=10)
    supervisor.add('worker', worker)
    supervisor.on_hangup('check', lambda stop: 0, accept)
    assert supervisor.run() == 0
    assert written.all() == ['after', 'before']


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
