# SPDX-License-Identifier: Apache-2.0
"""Sockets that wait with patience but not for ever, and stop at once when asked.

A blocking read of an ordinary socket can neither be cancelled nor be held to a deadline over many
small answers. Here each wait is cut into ticks; a :class:`Patience` decides after each whether to
go on. No HTTP and no rules: those are ``exchange.py`` and ``url_filter.py``.
"""

from __future__ import annotations

import errno
import itertools
import select
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from glance_lite.remote.addresses import Address

TICK_SECONDS = 0.25
#: RFC 8305 section 5: how long one address may stay silent before the next is tried beside it.
NEXT_ADDRESS_SECONDS = 0.25
#: How long a reader that has something already waits for more to come with it.
MOMENT_SECONDS = 0.02


class Stalled(Exception):
    """The other side took too long. Not an OSError, so that no library takes it for another."""


class Patience:
    """How long to wait for the other side; asked before each wait and told after it.

    First there is one deadline for all (:meth:`until`); from :meth:`begin_body` on, waiting is
    counted and the deadline is gone. Time that the reader spends elsewhere is not counted.

    :param should_stop: called several times a second; it raises to stop.
    """

    def __init__(self, should_stop: Callable[[], None]) -> None:
        self._should_stop = should_stop
        self._asked_at = 0.0
        self._deadline: float | None = None
        self._idle_seconds = 0.0
        self._rate = 0
        self._silent = 0.0
        self._waited = 0.0
        self._arrived = 0

    def until(self, seconds: float) -> None:
        """Allow ``seconds`` from now for everything that comes before the body."""
        self._deadline = time.monotonic() + seconds

    def begin_body(self, idle_seconds: float, minimum_rate: int) -> None:
        """From now on allow ``idle_seconds`` without a byte, or below ``minimum_rate`` bytes/s."""
        self._deadline = None
        self._idle_seconds, self._rate = idle_seconds, minimum_rate
        self._silent, self._waited, self._arrived = 0.0, 0.0, 0

    def tick_seconds(self) -> float:
        """Return how long the next wait may be."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
        else:
            left = self._idle_seconds - self._silent
        return max(0.01, min(TICK_SECONDS, left))

    def ask(self) -> None:
        """Call the hook that may stop us, if that was not done just now."""
        now = time.monotonic()
        if now - self._asked_at >= TICK_SECONDS:
            self._asked_at = now
            self._should_stop()

    def waited(self, seconds: float, arrived: int) -> None:
        """Count a wait that brought ``arrived`` bytes.

        :raises Stalled: when the other side is too slow.
        """
        self.ask()
        if self._deadline is not None:
            if time.monotonic() >= self._deadline:
                raise Stalled
            return
        self._silent = 0.0 if arrived else self._silent + seconds
        if self._silent >= self._idle_seconds:
            raise Stalled
        self._waited += seconds
        self._arrived += arrived
        if self._waited >= self._idle_seconds:
            if self._arrived < self._rate * self._idle_seconds:
                raise Stalled
            self._waited, self._arrived = 0.0, 0


class PatientSocket(socket.socket):
    """A plain socket whose reads ask a :class:`Patience`."""

    patience: Patience

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read as a socket does, in ticks."""
        return _in_ticks(self, self.patience, super().recv_into, *args, **kwargs) or 0


def tls_socket_class(patience: Patience) -> type[ssl.SSLSocket]:
    """Return a TLS socket class, for ``SSLContext.sslsocket_class``, bound to ``patience``."""

    class PatientTlsSocket(ssl.SSLSocket):
        def recv_into(self, *args: Any, **kwargs: Any) -> int:
            return _in_ticks(self, patience, super().recv_into, *args, **kwargs) or 0

        def do_handshake(self, block: bool = False) -> None:
            _in_ticks(self, patience, super().do_handshake, block)

    return PatientTlsSocket


def _in_ticks(
    sock: socket.socket,
    patience: Patience,
    operation: Callable[..., int | None],
    *args: Any,
    **kw: Any,
) -> int | None:
    while True:
        began = time.monotonic()
        tick = patience.tick_seconds()
        if sock.gettimeout() != tick:
            sock.settimeout(tick)
        try:
            result = operation(*args, **kw)
        except TimeoutError:
            patience.waited(time.monotonic() - began, 0)
            continue
        patience.waited(time.monotonic() - began, result or 1)
        return result


def more_at_once(sock: socket.socket, patience: Patience) -> bool:
    """Tell whether ``sock`` has more to read now or in a moment.

    :raises Stalled: when the other side is too slow altogether.
    """
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    if sock.fileno() < 0:
        return False
    began = time.monotonic()
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    ready = bool(poll.poll(MOMENT_SECONDS * 1000))
    patience.waited(time.monotonic() - began, 0)
    return ready


def connect_any(
    addresses: Sequence[Address],
    port: int,
    timeout_seconds: float,
    patience: Patience,
) -> PatientSocket:
    """Connect to the first of ``addresses`` that answers (RFC 8305, without its DNS part).

    Families take turns, and an address that stays silent is joined by the next one soon, so a
    dead family costs a fraction of a second.

    :raises OSError: when none answers within ``timeout_seconds``; the text is not for users.
    """
    waiting = list(_interleave(addresses))
    ends_at = time.monotonic() + timeout_seconds
    next_at = 0.0
    trouble: OSError = TimeoutError('no address answered')
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                now = time.monotonic()
                if now >= ends_at:
                    raise trouble
                patience.ask()
                if waiting and (now >= next_at or not selector.get_map()):
                    next_at = now + NEXT_ADDRESS_SECONDS
                    try:
                        _start(waiting.pop(0), port, selector)
                    except OSError as error:
                        trouble = error
                        continue
                for key, _ in selector.select(min(TICK_SECONDS, ends_at - now)):
                    sock = key.fileobj
                    assert isinstance(sock, PatientSocket)
                    selector.unregister(sock)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not code:
                        sock.patience = patience
                        sock.settimeout(TICK_SECONDS)
                        return sock
                    sock.close()
                    trouble = OSError(code, errno.errorcode.get(code, 'error'))
            raise trouble
        finally:
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]


def _start(address: Address, port: int, selector: selectors.BaseSelector) -> None:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    sock = PatientSocket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        code = sock.connect_ex((str(address), port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, errno.errorcode.get(code, 'error'))
        selector.register(sock, selectors.EVENT_WRITE)
    except BaseException:
        sock.close()
        raise


def _interleave(addresses: Sequence[Address]) -> list[Address]:
    first = [a for a in addresses if a.version == addresses[0].version]
    other = [a for a in addresses if a.version != addresses[0].version]
    pairs = itertools.zip_longest(first, other)
    return [address for pair in pairs for address in pair if address is not None]
