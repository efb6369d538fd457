# SPDX-License-Identifier: Apache-2.0
"""Ask the system for the addresses of a name, in bounded time.

The name is asked for as it is written, so the hosts file and search domains count as for any
program on the machine; that is safe because what comes back is judged (``url_filter.py``), not
the name.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable

from glance_lite.remote.addresses import Address

TICK_SECONDS = 0.25

#: A resolver: host, a bound in seconds and a hook to call while it waits (it may raise) ->
#: addresses in the order to try. Collaborators and tests may hand in their own.
Resolver = Callable[[str, float, Callable[[], None]], list[Address]]

#: Lookups that hang in the C library cannot be stopped, so their number is bounded.
_slots = threading.BoundedSemaphore(64)


class NameNotResolved(Exception):
    """The name has no address; ``temporary`` tells whether a later try may find one."""

    def __init__(self, host: str, temporary: bool) -> None:
        super().__init__(host)
        self.temporary = temporary


def resolve(host: str, timeout_seconds: float, should_stop: Callable[[], None]) -> list[Address]:
    """Return the addresses of ``host``, each once, in the order of the system.

    :raises NameNotResolved: when there is none, or no answer within ``timeout_seconds``.
    """
    ends_at = time.monotonic() + timeout_seconds
    if not _slots.acquire(timeout=timeout_seconds):
        raise NameNotResolved(host, temporary=True)
    answers: queue.SimpleQueue[list[Address] | Exception] = queue.SimpleQueue()
    try:
        threading.Thread(target=_look_up, args=(host, answers), name='resolve', daemon=True).start()
    except RuntimeError:
        _slots.release()
        raise NameNotResolved(host, temporary=True) from None
    answer = _wait(answers, ends_at, should_stop)
    if answer is None:
        raise NameNotResolved(host, temporary=True)
    if isinstance(answer, socket.gaierror):
        temporary = answer.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY)
        raise NameNotResolved(host, temporary) from answer
    if isinstance(answer, Exception) or not answer:
        raise NameNotResolved(host, temporary=False)
    return answer


def _wait(
    answers: queue.SimpleQueue[list[Address] | Exception],
    ends_at: float,
    should_stop: Callable[[], None],
) -> list[Address] | Exception | None:
    while True:
        left = ends_at - time.monotonic()
        try:
            return answers.get(timeout=max(0.0, min(left, TICK_SECONDS)))
        except queue.Empty:
            if left <= TICK_SECONDS:
                return None
        should_stop()


def _look_up(host: str, answers: queue.SimpleQueue[list[Address] | Exception]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        texts = dict.fromkeys(str(info[4][0]).partition('%')[0] for info in found)
        answers.put([ipaddress.ip_address(text) for text in texts])
    except Exception as error:
        answers.put(error)
    finally:
        _slots.release()
