# SPDX-License-Identifier: Apache-2.0
"""The server of one process: accepts connections, and stops gracefully."""

import errno
import logging
import os
import resource
import socket
import threading
import time
from typing import Any, Protocol

import eventlet
from eventlet import greenio, hubs, semaphore

from glance_lite.server import answers
from glance_lite.server.bridge import Bridge
from glance_lite.server.connection import Connection
from glance_lite.server.options import ServerOptions

LOG = logging.getLogger(__name__)

# Less than the 2 MiB of a huge page, so that a thousand idle stacks stay a few pages each.
THREAD_STACK_BYTES = 1024 * 1024


class Readable(Protocol):
    """Something whose descriptor becomes readable when the server shall stop."""

    def fileno(self) -> int: ...


def open_listener(host: str, port: int, backlog: int = 4096) -> socket.socket:
    """Bind and listen on a TCP address; port 0 takes a free one.

    Meant for the parent of forked workers, which all accept from the one socket.

    :raises OSError: the name does not resolve or the address is taken.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    dual = family == socket.AF_INET6 and address[0] == '::' and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=dual)


class Server:
    """Serve one WSGI application on one listening socket until stopped.

    A server belongs to one process and one thread: construct it after the fork, in the child. The
    listening socket may be shared with other processes; this process's copy is closed at the stop.

    :param application: any WSGI application; it is called in many native threads at once.
    :param listener: a bound stream socket.
    """

    def __init__(
        self,
        application: answers.WSGIApplication,
        listener: socket.socket,
        options: ServerOptions | None = None,
    ) -> None:
        self.application = application
        self.options = options or ServerOptions()
        self.stopping = False
        self.crowded = False
        self._listener = listener
        self._stop_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}

    def stop(self) -> None:
        """Ask the server to stop gracefully; may be called from any thread or signal handler."""
        os.eventfd_write(self._stop_descriptor, 1)

    def serve(self, stop: Readable | None = None) -> None:
        """Accept and answer until :meth:`stop`, or until ``stop`` becomes readable; then:

        1. the listening socket and the idle connections are closed, and parked answers finished;
        2. running requests get ``graceful_shutdown_timeout_seconds`` to finish;
        3. what still runs then loses its connection.

        Afterwards threads may still be stuck in the application; a process that must end whatever
        they do ends by ``os._exit``, as the supervisor's children do.
        """
        self._listener.listen(self.options.listen_backlog)
        threading.stack_size(THREAD_STACK_BYTES)
        slots = semaphore.Semaphore(_connection_limit(self.options.max_connections))
        self.bridge = Bridge(self.options)
        acceptor = eventlet.spawn(self._accept, greenio.GreenSocket(self._listener), slots)
        watcher = eventlet.spawn(self._watch, stop.fileno()) if stop else None
        try:
            hubs.trampoline(self._stop_descriptor, read=True)
        finally:
            self.stopping = True
            for green in filter(None, (acceptor, watcher)):
                green.kill()
            self._listener.close()
            self._finish_connections()
            self.bridge.close()

    def _watch(self, descriptor: int) -> None:
        hubs.trampoline(descriptor, read=True)
        self.stop()

    def _accept(self, listener: greenio.GreenSocket, slots: semaphore.Semaphore) -> None:
        while True:
            self.crowded = slots.locked()
            if self.crowded and self._idle:
                next(iter(self._idle)).hang_up()
            slots.acquire()
            self.crowded = False
            try:
                sock, address = listener.accept()
            except OSError as error:
                slots.release()
                if error.errno == errno.EINVAL:  # shut down: the service stops
                    return
                if error.errno not in (errno.ECONNABORTED, errno.EPROTO):
                    LOG.error('Cannot accept connections: %s', error.strerror)
                    eventlet.sleep(0.5)
                continue
            eventlet.spawn_n(self._serve_connection, sock, address, slots)
            # Let the others run: accepting does not wait while the queue is not empty.
            eventlet.sleep(0)

    def _serve_connection(self, sock: Any, address: Any, slots: semaphore.Semaphore) -> None:
        try:
            Connection(sock, address, self).serve()
        except (ConnectionError, TimeoutError, EOFError) as error:
            LOG.debug('Connection ended: %s', error)
        except OSError as error:
            LOG.warning('Connection ended: %s', error)
        except Exception:
            LOG.exception('The server failed on a connection')
        finally:
            sock.close()
            slots.release()

    def enter(self, connection: 'Connection') -> None:
        """Count a connection until :meth:`leave`."""
        self._connections.add(connection)

    def leave(self, connection: 'Connection') -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)
        self._idle.pop(connection, None)

    def set_idle(self, connection: 'Connection', idle: bool) -> None:
        """Note whether a connection waits for a request; such a one may be closed at any time."""
        if idle:
            self._idle[connection] = None
        else:
            self._idle.pop(connection, None)

    def _finish_connections(self) -> None:
        # What was accepted a moment ago shall have begun before it is asked to end.
        eventlet.sleep(0)
        for connection in list(self._idle):
            connection.hang_up()
        self.bridge.release_parked()
        self._wait_for_connections(self.options.graceful_shutdown_timeout_seconds)
        if self._connections:
            LOG.warning('Cutting %d requests that outlived the stop', len(self._connections))
            for connection in list(self._connections):
                connection.cut()
            self._wait_for_connections(1.0)

    def _wait_for_connections(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._connections and time.monotonic() < deadline:
            eventlet.sleep(0.02)


def _connection_limit(wanted: int) -> int:
    """Raise the limit of open files as far as the wish needs; return what it allows."""
    needed = 3 * wanted + 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = max(16, (soft - 256) // 3)
    if allowed < wanted:
        LOG.warning('The limit of %d open files allows %d connections only', soft, allowed)
    return min(wanted, allowed)
