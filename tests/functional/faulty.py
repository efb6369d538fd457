# SPDX-License-Identifier: Apache-2.0
"""A real program of the service that is struck at chosen calls, or whose clock is wrong.

``python faulty.py api|conductor ARGUMENTS``, and in the environment:

``FAULTS``
    The functions, ``package.module:Class.function`` or ``package.module:function``, with spaces
    between them.
``FAULT_FOLDER``
    Where :func:`arm` says which of them shall be struck: the first process that comes there is.
``HURRY``
    ``name=value,...`` for the times that the janitor keeps.
``CLOCK_AHEAD``
    Seconds by which the clock of this host is ahead.
"""

import datetime
import functools
import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def set_clock(ahead: float) -> None:
    """Be a host whose clock is wrong. Comes before whatever imports the functions by name."""
    from glance_lite.db import engine

    utcnow, now = engine.utcnow, time.time
    engine.utcnow = lambda: utcnow() + datetime.timedelta(seconds=ahead)
    time.time = lambda: now() + ahead


def hurry(times: str) -> None:
    """Let the janitor look more often, and wait for less long."""
    from glance_lite.conductor import conductor, janitor

    for pair in times.split(','):
        name, value = pair.split('=')
        (owner,) = (module for module in (janitor, conductor) if hasattr(module, name))
        setattr(owner, name, type(getattr(owner, name))(value))


def arm(folder: Path, place: str, when: str = 'before', how: str = 'stop') -> Path:
    """Have the next process struck that calls ``place``; the file returned is gone when it was.

    :param when: ``before`` the call, or ``after`` it and before its caller knows.
    :param how: ``stop`` (SIGSTOP) or ``kill`` (SIGKILL).
    """
    path = folder / f'{place}.{when}'
    path.write_text(how)
    return path


def wrap(place: str) -> None:
    """Put a function in the place of another, that calls it and may be struck."""
    module, _, path = place.partition(':')
    owner: Any = importlib.import_module(module)
    *parents, name = path.split('.')
    for parent in parents:
        owner = getattr(owner, parent)
    given = getattr(owner, name)

    @functools.wraps(given)
    def call(*args: Any, **kwargs: Any) -> Any:
        strike(f'{place}.before')
        result = given(*args, **kwargs)
        strike(f'{place}.after')
        return result

    setattr(owner, name, call)


def strike(name: str) -> None:
    """Stop or kill this process if that is what is armed under this name, and not yet taken."""
    path = os.path.join(os.environ['FAULT_FOLDER'], name)
    try:
        os.rename(path, taken := f'{path}.{os.getpid()}')
    except FileNotFoundError:
        return
    with open(taken, encoding='ascii') as file:
        fatal = file.read() == 'kill'
    # to this thread: it would go on until another one had taken the signal
    signal.pthread_kill(threading.get_ident(), signal.SIGKILL if fatal else signal.SIGSTOP)


if __name__ == '__main__':
    if 'CLOCK_AHEAD' in os.environ:
        set_clock(float(os.environ['CLOCK_AHEAD']))
    if 'HURRY' in os.environ:
        hurry(os.environ['HURRY'])
    for place in os.environ.get('FAULTS', '').split():
        wrap(place)
    sys.exit(importlib.import_module(f'glance_lite.cmd.{sys.argv.pop(1)}').main())
