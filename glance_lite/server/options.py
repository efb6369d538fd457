# SPDX-License-Identifier: Apache-2.0
"""What may be chosen about a server, and what it tells about each request."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class AccessRecord:
    """One answered request; ``path`` includes the query as the client sent it."""

    client: str
    method: str
    path: str
    status: int
    sent_bytes: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Limits of one server process; a timeout of 0 means none.

    :ivar request_threads: calls of the application at once, beside those that read bodies.
    :ivar body_threads: calls at once that read a large body; threads are made on demand.
    :ivar body_backlog: such calls that may wait for a thread; more get 503 with Retry-After.
    :ivar download_threads: parts of streamed answers produced or sent at once.
    :ivar retry_after_seconds: value of Retry-After of that 503.
    :ivar keepalive: whether a connection may serve more than one request.
    :ivar client_socket_timeout_seconds: for an idle connection, and for a whole request head.
    :ivar body_idle_timeout_seconds: longest silence while a body is received or sent, and
        longest time for a whole body of at most 64 KiB that is no octet-stream.
    :ivar max_header_line: bytes in one header line; more is a 431.
    :ivar url_length_limit: bytes in the request line; more is a 414.
    :ivar graceful_shutdown_timeout_seconds: for running requests after a stop.
    :ivar max_connections: open connections; beyond it the longest idle one is closed, and when
        none is idle, new ones wait in the listen queue.
    :ivar listen_backlog: length of that queue.
    :ivar access_log: called after each request, in a green thread: it must not block.
    """

    request_threads: int = 32
    body_threads: int = 1100
    body_backlog: int = 0
    download_threads: int = 32
    retry_after_seconds: int = 5
    keepalive: bool = True
    client_socket_timeout_seconds: float = 900
    body_idle_timeout_seconds: float = 60
    max_header_line: int = 16384
    url_length_limit: int = 8192
    graceful_shutdown_timeout_seconds: float = 60
    max_connections: int = 4000
    listen_backlog: int = 4096
    access_log: Callable[[AccessRecord], None] | None = None
