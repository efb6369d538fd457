# SPDX-License-Identifier: Apache-2.0
"""``?wait=N``: answer when a task changes, and hold no thread until then where the server can.

Our own server asks the body of such an answer to :meth:`Later.park`, and reads it when it is
woken. Any other reads it at once: then one request of a process waits in its thread, if there are
more, and the rest are answered as they are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.api.wsgi import JSON, Reply, Request
from glance_lite.domain import task as domain
from glance_lite.domain import task_query
from glance_lite.domain.task import Task
from glance_lite.watching import TaskWatch

LOG = log.getLogger(__name__)


def reply(request: Request, look: Callable[[], tuple[Any, Iterable[Task]]]) -> Reply:
    """Return what ``look`` sees, as JSON data, and the tasks in it; after ``?wait`` if it is given.

    An answer waits while none of the tasks that were not final has another status.

    :param look: may be called twice, the second time in another thread.
    :raises InvalidRequest: ``wait`` is no number of seconds that may be waited.
    """
    seconds = task_query.parse_wait(request.query)
    data, found = look()
    seen = {task.task_id: task.status for task in found if task.status not in domain.FINAL}
    if not seconds or not seen:
        return Reply(data=data)
    may_hold = bool(request.environ.get('wsgi.multithread'))
    later = Later(request.services.watch, seen, seconds, data, lambda: look()[0], may_hold)
    return Reply(headers=[('Content-Type', JSON)], stream=later)


class Later:
    """A body that is made when a task has changed; iterate over it once."""

    def __init__(
        self,
        watch: TaskWatch,
        seen: Mapping[str, str],
        seconds: float,
        data: Any,
        look: Callable[[], Any],
        may_hold: bool,
    ) -> None:
        """Wait for a change of ``seen``, then answer what ``look`` returns; ``data`` if it raises.

        :param may_hold: whether there are threads beside that which iterates.
        """
        self._watch = watch
        self._seen = seen
        self._seconds = seconds
        self._data = data
        self._look = look
        self._may_hold = may_hold
        self._is_parked = False

    def park(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called once, in any thread, when it is time to iterate."""
        self._is_parked = True
        self._watch.wait(self._seen, self._seconds, wake)

    def __iter__(self) -> Iterator[bytes]:
        if not self._is_parked:
            self._hold()
        yield json.dumps(self._now()).encode('ascii')

    def _hold(self) -> None:
        if self._may_hold and self._watch.held_thread.acquire(blocking=False):
            try:
                woken = threading.Event()
                self.park(woken.set)
                woken.wait()
            finally:
                self._watch.held_thread.release()

    def _now(self) -> Any:
        try:
            return self._look()
        except exceptions.NotFound:
            return self._data  # gone meanwhile; the next request is told so
        except Exception:
            LOG.exception('Cannot look at a task again')
            return self._data
