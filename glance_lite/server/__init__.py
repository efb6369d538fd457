# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: sockets and HTTP in green threads, the WSGI application in native threads.

Top to bottom: ``service`` accepts and stops, ``connection`` serves one client, ``bridge`` runs
native threads for them (these three, and nothing else, import eventlet; nothing is monkey patched);
``heads``, ``answers`` and ``bodies`` hold the rules of HTTP and WSGI; ``options`` is data.

The package is handed any WSGI application and imports nothing else of this project. What the
application may rely on, beside PEP 3333:

- ``wsgi.input`` offers ``read``, ``readinto`` (large buffers are filled by the kernel, without a
  copy), ``readline``, ``readlines`` and iteration, and ends where the body ends
  (``wsgi.input_terminated`` is True), for chunked bodies too.
- A body that stops coming raises ``TimeoutError``, a client that leaves in the middle raises
  ``ConnectionError``, a malformed chunk raises ``ValueError``; a short read is never silent.
- ``100 Continue`` is sent when the application first reads, never when it answers before.
- ``wsgi.file_wrapper(file, block_bytes)`` sends regular files with ``sendfile``; see
  :class:`FileWrapper` for sending a range.
- The parts of a streamed answer may be produced in different threads, one after the other.
"""

import warnings

with warnings.catch_warnings():
    # Eventlet announces its retirement at import; leaving it means rewriting three small files.
    warnings.simplefilter('ignore')
    import eventlet  # noqa: F401

from glance_lite.server.answers import FileWrapper
from glance_lite.server.bodies import BodyDisconnected, BodyTimeout, MalformedBody
from glance_lite.server.options import AccessRecord, ServerOptions
from glance_lite.server.service import Server, open_listener

__all__ = [
    'AccessRecord',
    'BodyDisconnected',
    'BodyTimeout',
    'FileWrapper',
    'MalformedBody',
    'Server',
    'ServerOptions',
    'open_listener',
]
