# SPDX-License-Identifier: Apache-2.0
"""Tell the others, once in a while, which uploads this process still receives.

An upload may take hours and says nothing to the database meanwhile. When its process dies, the
missing sign of life lets a conductor return the image to ``queued``.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator

from oslo_log import log

from glance_lite import exceptions
from glance_lite.db import uploads
from glance_lite.db.engine import Database
from glance_lite.db.trouble import said

LOG = log.getLogger(__name__)

#: Seconds between two signs of life.
RENEW_SECONDS = 3.0
#: Seconds until the next try of one that failed.
RETRY_SECONDS = 1.0
#: Seconds of silence after which an upload counts as lost.
LOST_SECONDS = 15.0

#: Uploads that may ask the database at once whether they may begin.
BEGIN_AT_ONCE = 2
#: Seconds that an upload waits for its turn.
BEGIN_SECONDS = 30.0


class Receiving:
    """The uploads of this process. Thread safe; its one thread runs only while there are some."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._slots = threading.BoundedSemaphore(BEGIN_AT_ONCE)

    @contextlib.contextmanager
    def beginning(self) -> Iterator[None]:
        """Wait for a turn to begin an upload: a thousand at once must not starve other requests.

        :raises ServiceUnavailable: those before take too long, as the database does not answer.
        """
        if not self._slots.acquire(timeout=BEGIN_SECONDS):
            raise exceptions.ServiceUnavailable('Too many uploads begin at once; try again.')
        try:
            yield
        finally:
            self._slots.release()

    @contextlib.contextmanager
    def receive(self) -> Iterator[str]:
        """Give a token for an upload, and speak for it while the block runs."""
        token = str(uuid.uuid4())
        with self._lock:
            self._tokens.add(token)
            if self._thread is None:
                self._thread = threading.Thread(target=self._speak, name='receiving', daemon=True)
                self._thread.start()
        try:
            yield token
        finally:
            with self._lock:
                self._tokens.discard(token)

    def _speak(self) -> None:
        pause = threading.Event()
        failed = False
        while not pause.wait(RETRY_SECONDS if failed else RENEW_SECONDS):
            with self._lock:
                tokens = list(self._tokens)
                if not tokens:
                    self._thread = None
                    return
            failed = not self._renew(tokens)

    def _renew(self, tokens: list[str]) -> bool:
        try:
            with self._db.writer() as session:
                uploads.renew(session, tokens)
            return True
        except Exception as error:
            reason = said(error)
        LOG.warning('The signs of life of %d uploads failed: %s', len(tokens), reason)
        return False
