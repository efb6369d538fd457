# SPDX-License-Identifier: Apache-2.0
"""A connection to a TaskFlow board that may fail and forget at any time.

What stands on the board are entries: hints that the import of ``details['task_id']`` waits, for
conductors that see the staging area ``details['area']``. Whether it does is decided in SQL.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from oslo_log import log
from taskflow import exceptions as taskflow_exceptions
from taskflow import states

from glance_lite.jobs.address import BoardAddress

LOG = log.getLogger(__name__)

_CLASSES = {
    'redis': 'redis_board.RedisBoard',
    'etcd': 'etcd_board.EtcdBoard',
    'zookeeper': 'zookeeper_board.ZookeeperBoard',
}
#: Seconds between two checks that what a watching board remembers is still so.
_FRESH_SECONDS = 1.0


class BoardDown(Exception):
    """The board does not answer; it is connected to again later."""


class Doorbell:
    """One board. Any failure takes it down until :meth:`connect`. Thread safe."""

    def __init__(self, address: BoardAddress, claim_seconds: float) -> None:
        """Prepare for a board on which a claim that is not extended ends by itself."""
        self._address = address
        self._claim_seconds = claim_seconds
        self._board: Any = None
        self._told_down = False
        self._fresh_at = 0.0
        self._lock = threading.Lock()

    @property
    def is_up(self) -> bool:
        """Whether the board answered when it was asked last."""
        return self._board is not None

    def connect(self) -> bool:
        """Connect anew and tell whether the board answers. Not for several threads at once."""
        self.close()
        board = None
        try:
            board = self._make_board()
            board.connect()
        except Exception as error:
            self._tell_down(error)
            _close(board)
            return False
        self._board, self._told_down, self._fresh_at = board, False, 0.0
        LOG.info('The job board %s answers', self._address)
        return True

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            board, self._board = self._board, None
        _close(board)

    def post(self, task_id: str, area: str | None) -> None:
        """Put an entry on the board.

        :raises BoardDown: it does not answer.
        """
        with self._use() as board:
            board.post('import', details={'task_id': task_id, 'area': area})

    def list_all(self) -> dict[str, Any]:
        """Return one entry for each task that has any, claimed or not.

        :raises BoardDown: it does not answer.
        """
        with self._use() as board:
            return {entry.details['task_id']: entry for entry in _ours(board.list_all())}

    def list_unclaimed(self) -> Iterator[Any]:
        """Yield the entries that nobody claims, the oldest first.

        :raises BoardDown: it does not answer.
        """
        with self._use() as board:
            fresh = time.monotonic() >= self._fresh_at
            if fresh:
                self._fresh_at = time.monotonic() + _FRESH_SECONDS
            for entry in _ours(board.iterjobs(ensure_fresh=fresh)):
                if entry.state == states.UNCLAIMED:
                    yield entry

    def claim(self, entry: Any, who: str) -> bool:
        """Claim an entry, and tell whether ``who`` has it now.

        :raises BoardDown: it does not answer.
        """
        try:
            with self._use() as board:
                board.claim(entry, who, expiry=self._claim_seconds)
            return True
        except taskflow_exceptions.UnclaimableJob:
            return self._owner(entry) == who
        except taskflow_exceptions.NotFound:
            return False

    def extend(self, entry: Any, who: str) -> bool:
        """Prolong a claim; False if it was lost.

        :raises BoardDown: it does not answer.
        """
        if self._owner(entry) != who:  # on some boards anybody can prolong any claim
            return False
        if not hasattr(entry, 'extend_expiry'):
            return True  # the session keeps it
        with self._use():
            try:
                return bool(entry.extend_expiry(self._claim_seconds))
            except TypeError:  # how the etcd board says that it ended a moment ago
                return False

    def remove(self, entry: Any, who: str) -> None:
        """Take an entry that ``who`` claims from the board.

        :raises BoardDown: it does not answer.
        """
        with self._use() as board, _claim_of_another_ignored():
            board.consume(entry, who)

    def abandon(self, entry: Any, who: str) -> None:
        """Give up a claim, for anyone to claim.

        :raises BoardDown: it does not answer.
        """
        with self._use() as board, _claim_of_another_ignored():
            board.abandon(entry, who)

    def _owner(self, entry: Any) -> str | None:
        with self._use() as board:
            try:
                found: str | None = board.find_owner(entry)
            except TypeError:  # how the Redis board says that there is none
                return None
            return found

    def _make_board(self) -> Any:
        module, name = _CLASSES[self._address.kind].split('.')
        kind = getattr(importlib.import_module(f'glance_lite.jobs.{module}'), name)
        settings = self._address.settings
        if self._address.kind == 'zookeeper':
            # a claim lasts as long as the session
            settings = {'timeout': self._claim_seconds, **settings}
        return kind('imports', settings)

    @contextlib.contextmanager
    def _use(self) -> Iterator[Any]:
        """Hand out the board; whatever goes wrong with it becomes :class:`BoardDown`."""
        board = self._board
        if board is None or not board.connected:
            self._fail(board, ConnectionError('the connection was lost'))
        try:
            yield board
        except (taskflow_exceptions.UnclaimableJob, taskflow_exceptions.NotFound):
            raise
        except Exception as error:
            self._fail(board, error)

    def _fail(self, board: Any, error: Exception) -> None:
        """Take the board down.

        :raises BoardDown: always.
        """
        with self._lock:
            mine = board is not None and board is self._board
            if mine:
                self._board = None
        if mine:
            self._tell_down(error)
            threading.Thread(target=_close, args=(board,), daemon=True).start()
        raise BoardDown(str(self._address)) from error

    def _tell_down(self, error: Exception) -> None:
        if not self._told_down:
            self._told_down = True
            LOG.warning(
                'The job board %s does not answer (%s); imports go on by the database alone',
                self._address,
                type(error).__name__,
            )
        LOG.debug('The job board %s: %s', self._address, error)


def _ours(entries: Iterable[Any]) -> Iterator[Any]:
    """Yield the entries that we posted; others may share the board."""
    for entry in entries:
        if isinstance(entry.details, dict) and 'task_id' in entry.details:
            yield entry


@contextlib.contextmanager
def _claim_of_another_ignored() -> Iterator[None]:
    """Do nothing if the entry is gone, or claimed by another."""
    try:
        yield
    except taskflow_exceptions.NotFound:
        pass
    except taskflow_exceptions.JobFailure as error:
        if error.cause is not None:  # trouble below
            raise


def _close(board: Any) -> None:
    """Close a board, if there is one, in whatever state it is; that may take a while."""
    with contextlib.suppress(Exception):
        if board is not None:
            board.close()
