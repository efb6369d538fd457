# SPDX-License-Identifier: Apache-2.0
"""Supervisor and server as they run in production: a parent that forks workers on one socket."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from glance_lite.supervisor import EX_CONFIG

PATIENCE_SECONDS = 20

PROGRAM = """
    import logging, os, sys, time
    from glance_lite.server import Server, ServerOptions, open_listener
    from glance_lite.supervisor import Supervisor

    logging.basicConfig(level=logging.INFO)
    listener = open_listener('127.0.0.1', 0)

    def app(environ, start_response):
        if environ['PATH_INFO'] == '/slow':
            time.sleep(0.5)
        start_response('200 OK', [('Connection', 'close')])
        return [str(os.getpid()).encode()]

    def worker(stop):
        Server(app, listener, ServerOptions(graceful_shutdown_timeout_seconds=5)).serve(stop)

    def broken(stop):
        stop.wait(0.3)
        return 78

    supervisor = Supervisor(graceful_timeout_seconds=6)
    supervisor.add('api', worker, count=2)
    supervisor.add_command('helper', ['sleep', '1000'])
    if 'broken' in sys.argv:
        supervisor.add('broken', broken)
    print(listener.getsockname()[1], flush=True)
    sys.exit(supervisor.run())
"""


def get(port, path='/'):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request('GET', path)
        return int(connection.getresponse().read())


def eventually(question):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.02)
    return answer


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as file:
        return set(map(int, file.read().split()))


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.fixture
def service():
    """Start the program; returns a function arguments → (process, port)."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            command = [sys.executable, '-c', textwrap.dedent(PROGRAM), *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process, int(process.stdout.readline())

        yield start


def workers(port):
    """Ask until both workers have answered; return their process ids."""
    seen = set()
    eventually(lambda: seen.add(get(port)) or len(seen) == 2)
    return seen


def test_both_workers_answer_and_stop_gracefully(service):
    process, port = service()
    workers(port)
    slow = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE_SECONDS)
    slow.request('GET', '/slow')
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    with contextlib.closing(slow):
        assert slow.getresponse().status == 200
    assert process.wait(PATIENCE_SECONDS) == 0


def test_killed_worker_is_replaced(service):
    process, port = service()
    first = workers(port)
    victim = first.pop()
    os.kill(victim, signal.SIGKILL)
    eventually(
        lambda: len(children_of(process.pid)) == 3 and victim not in children_of(process.pid)
    )
    assert victim not in workers(port)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == 0


def test_configuration_error_of_one_child_stops_all(service):
    process, _ = service('broken')
    eventually(lambda: len(children_of(process.pid)) == 4)
    children = children_of(process.pid)
    assert process.wait(PATIENCE_SECONDS) == EX_CONFIG
    assert not any(map(is_running, children))


def test_children_end_with_a_killed_supervisor(service):
    process, port = service()
    workers(port)
    children = eventually(lambda: len(found := children_of(process.pid)) == 3 and found)
    process.kill()
    process.wait(PATIENCE_SECONDS)
    eventually(lambda: not any(map(is_running, children)))
    with pytest.raises(ConnectionRefusedError):
        get(port)
