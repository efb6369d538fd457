# SPDX-License-Identifier: Apache-2.0
"""Run a program that works on what strangers sent: with limits, watched, and never left behind.

util-linux sets the limits: ``prlimit`` those of memory, CPU time and file size, ``setpriv`` that
the program ends with the thread that started it, and cannot gain rights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence

#: Seconds between two looks at whether the program is still wanted.
_LOOK_SECONDS = 0.1
#: Bytes of what a program complains of that are kept.
_COMPLAINT_BYTES = 4096
_LAUNCHERS = ('setpriv', 'prlimit')
_ENVIRONMENT = {
    'PATH': '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin',
    'LC_ALL': 'C',
    'MALLOC_ARENA_MAX': '2',  # each arena takes 64 MiB of the limit
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a program may take. ``file_bytes`` is the size of the largest file that it writes."""

    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float
    file_bytes: int


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a program ended: its exit status, or a signal's number below 0, and its complaints."""

    status: int
    complaints: str
    timed_out: bool = False


def find_missing(program: str) -> str | None:
    """Return the name of what is needed to run a program and is not installed, None if all is."""
    path = _ENVIRONMENT['PATH']
    return next(
        (name for name in (program, *_LAUNCHERS) if shutil.which(name, path=path) is None), None
    )


def run(
    command: Sequence[str],
    limits: Limits,
    check: Callable[[], object],
    hear: Callable[[bytes], object] = lambda output: None,
) -> Ending:
    """Run a program to its end, and return how it ended.

    :param check: called often; what it raises ends the program, and is raised.
    :param hear: is given what the program prints, in pieces.
    """
    launched = [
        *('setpriv', '--pdeathsig', 'KILL', '--no-new-privs', '--'),
        # the soft limit ends it with a signal that says why
        *('prlimit', f'--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 10}'),
        *(f'--as={limits.memory_bytes}', f'--fsize={limits.file_bytes}', '--core=0', '--'),
        *command,
    ]
    ends_at = time.monotonic() + limits.wall_seconds
    process = subprocess.Popen(
        launched,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
        cwd='/',
        start_new_session=True,
    )
    try:
        complaints, timed_out = _watch(process, ends_at, check, hear)
    finally:
        process.kill()  # does nothing once it has ended
        status = process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Ending(status, complaints.decode('utf-8', 'replace').strip(), timed_out)


def _watch(
    process: subprocess.Popen[bytes],
    ends_at: float,
    check: Callable[[], object],
    hear: Callable[[bytes], object],
) -> tuple[bytes, bool]:
    complaints = bytearray()

    def complain(output: bytes) -> None:
        complaints.extend(output[: _COMPLAINT_BYTES - len(complaints)])

    with selectors.DefaultSelector() as selector:
        assert process.stdout is not None and process.stderr is not None
        selector.register(process.stdout, selectors.EVENT_READ, hear)
        selector.register(process.stderr, selectors.EVENT_READ, complain)
        while selector.get_map():
            check()
            if time.monotonic() > ends_at:
                return bytes(complaints), True
            for key, _ in selector.select(_LOOK_SECONDS):
                if output := os.read(key.fd, 65536):
                    key.data(output)
                else:
                    selector.unregister(key.fileobj)
    while process.poll() is None and time.monotonic() < ends_at:
        check()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)  # it mostly ends at once when it has closed its pipes
    return bytes(complaints), process.poll() is None
