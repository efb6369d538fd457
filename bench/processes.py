# SPDX-License-Identifier: Apache-2.0
"""Start a service, stop it, and read from /proc what all its processes cost. Linux only.

Processes are found as the descendants of the one that was started and everything in its session,
so workers, conductors and short-lived tools are all counted.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf('SC_CLK_TCK')
STOP_SECONDS = 15
SETTLED_CPU_SECONDS = 0.03


def raise_open_files() -> int:
    """Raise this process's soft limit of open files to the hard one; children inherit it.

    :returns: the limit now in force.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _stat_fields(pid: int) -> list[str] | None:
    """Read the fields of /proc/<pid>/stat from field 3 (state) on (proc_pid_stat(5))."""
    try:
        text = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    return text.rpartition(')')[2].split()


class ServiceProcesses:
    """One started program and all that came of it."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open('ab') as output:
            self._root = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def pids(self) -> list[int]:
        """List the live processes of the service."""
        found = {self._root.pid}
        rows = []
        for name in os.listdir('/proc'):
            if name.isdigit() and (fields := _stat_fields(int(name))) and fields[0] != 'Z':
                rows.append((int(name), int(fields[1]), int(fields[3])))
        grown = True
        while grown:
            more = {p for p, parent, session in rows if parent in found or session in found}
            grown = not more <= found
            found |= more
        return [pid for pid, _, _ in rows if pid in found]

    def running(self) -> bool:
        """Tell whether the program that was started still runs."""
        return self._root.poll() is None

    def cpu_seconds(self) -> float:
        """Sum user and system CPU seconds of all processes, ended and waited-for children too."""
        ticks = 0
        for pid in self.pids():
            if fields := _stat_fields(pid):
                ticks += sum(int(value) for value in fields[11:15])
        return ticks / TICKS_PER_SECOND

    def memory_mib(self) -> float:
        """Sum the proportional set size (PSS) of all processes, in MiB (proc_pid_smaps(5))."""
        kib = 0
        for pid in self.pids():
            try:
                lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
            except OSError:
                continue
            kib += sum(int(line.split()[1]) for line in lines if line.startswith('Pss:'))
        return kib / 1024

    def settle(self, timeout_seconds: float = 10) -> None:
        """Wait until the processes use almost no CPU, so that starting is not measured."""
        deadline = time.monotonic() + timeout_seconds
        before = -1.0
        while (now := self.cpu_seconds()) - before > SETTLED_CPU_SECONDS:
            if time.monotonic() > deadline:
                return
            before = now
            time.sleep(0.5)

    def stop(self) -> None:
        """End the service: SIGTERM to the program, after a while SIGKILL to whatever is left."""
        pids = self.pids()
        if self.running():
            self._root.send_signal(signal.SIGTERM)
            try:
                self._root.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        for pid in set(self.pids()) & set(pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._root.wait()


class PeakMemory:
    """Sample a service's memory in a thread; use as a context manager."""

    def __init__(self, processes: ServiceProcesses, interval_seconds: float = 0.1) -> None:
        self._processes = processes
        self._interval = interval_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.before_mib = 0.0
        self.peak_mib = 0.0

    def __enter__(self) -> PeakMemory:
        self.before_mib = self.peak_mib = self._processes.memory_mib()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(self._interval):
            self.peak_mib = max(self.peak_mib, self._processes.memory_mib())


def wait_until(ready, timeout_seconds: float, what: str, processes: ServiceProcesses) -> None:
    """Call ``ready()`` every 50 ms until it is true.

    :raises RuntimeError: when the program ends or the time is up, in which case it is stopped;
        the message names the log.
    """
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if not processes.running() or time.monotonic() > deadline:
            trouble = 'did not answer in time' if processes.running() else 'ended'
            processes.stop()
            raise RuntimeError(f'{what} {trouble}; see {processes.log}')
        time.sleep(0.05)


def wait_for_port(port: int, timeout_seconds: float) -> None:
    """Wait until something listens on 127.0.0.1:``port``.

    :raises RuntimeError: when nothing does in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(('127.0.0.1', port)) == 0:
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f'nothing listens on port {port}')
        time.sleep(0.02)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, below the range of outgoing ports."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
            return port
