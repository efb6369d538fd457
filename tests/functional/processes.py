# SPDX-License-Identifier: Apache-2.0
"""Real processes of the service for the functional tests, always ended, their logs at hand."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """Return the path of one of the installed programs."""
    return str(Path(sys.executable).parent / name)


class Process:
    """A child in a process group of its own, with a log file."""

    def __init__(self, args: Sequence[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        self._file = log.open('ab')
        self.popen = subprocess.Popen(
            args,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )

    def kill(self) -> None:
        """End the process and its children at once, as a power failure would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._file.close()

    def stop(self, timeout: float = 30) -> int:
        """End the process gracefully and return its exit status."""
        self.popen.terminate()
        try:
            return self.popen.wait(timeout)
        finally:
            self.kill()

    def text(self) -> str:
        """Return the log so far."""
        return self.log.read_text(errors='replace')


@contextlib.contextmanager
def running(args: Sequence[str], log: Path, env: dict[str, str] | None = None) -> Iterator[Process]:
    """Run a process while the block runs."""
    process = Process(args, log, env)
    try:
        yield process
    finally:
        process.kill()


def wait_for(condition: Callable[[], object], seconds: float, what: str = 'the condition') -> float:
    """Wait until ``condition()`` is true; return the seconds that it took.

    :raises AssertionError: it did not become true in time.
    """
    start = time.monotonic()
    while not condition():
        took = time.monotonic() - start
        assert took < seconds, f'{what} was not reached in {seconds} s'
        time.sleep(0.02)
    return time.monotonic() - start
