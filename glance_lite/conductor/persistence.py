# SPDX-License-Identifier: Apache-2.0
"""TaskFlow's persistence over our own engine, with writes that only the lease's holder may do."""

from __future__ import annotations

from typing import Any

from taskflow import exceptions as taskflow_exceptions
from taskflow import states
from taskflow.persistence import models
from taskflow.persistence.backends import impl_sqlalchemy

from glance_lite.db.engine import Database
from glance_lite.jobs.lease import Lease


class Persistence:
    """Flow details in the tables that our migrations made."""

    def __init__(self, db: Database) -> None:
        self._backend = impl_sqlalchemy.SQLAlchemyBackend(
            {'connection': str(db.engine.url)}, engine=db.write_engine
        )
        # a new connection builds its tables anew and defeats every statement cache; it holds no
        # database connection, so one serves all threads
        self._connection = self._backend.get_connection()

    def flow_detail(self, task_id: str) -> models.FlowDetail:
        """Return the flow detail of an import, made now if this is its first attempt."""
        try:
            return self._connection.get_flow_details(task_id)
        except taskflow_exceptions.NotFound:
            book = models.LogBook('image-import', uuid=task_id)
            detail = models.FlowDetail('image-import', uuid=task_id)
            book.add(detail)
            self._connection.save_logbook(book)
            return detail

    def forget(self, task_id: str) -> None:
        """Remove the flow detail of a finished import."""
        try:
            self._connection.destroy_logbook(task_id)
        except taskflow_exceptions.NotFound:
            pass

    def backend_for(self, lease: Lease) -> Any:
        """Return the backend that the engine of one import writes through."""
        return _Backend(self._backend, _Connection(self._connection, lease))


class _Backend:
    """The backend with one connection, handed out again and again."""

    def __init__(self, backend: Any, connection: _Connection) -> None:
        self._backend, self._connection = backend, connection

    def get_connection(self) -> _Connection:
        return self._connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _Connection:
    """The connection, asking the lease before each write."""

    def __init__(self, connection: Any, lease: Lease) -> None:
        self._connection, self._lease = connection, lease
        self._written: dict[str, tuple[Any, ...]] = {}

    def close(self) -> None:
        """Stay open for the others."""

    def update_flow_details(self, *args: Any, **kwargs: Any) -> Any:
        self._lease.check()
        return self._connection.update_flow_details(*args, **kwargs)

    def update_atom_details(self, detail: models.AtomDetail) -> models.AtomDetail:
        self._lease.check()
        if (detail.state, detail.intention) == (states.RUNNING, states.EXECUTE):
            # a step that was running when its conductor died runs again, as one that never began
            return detail
        if isinstance(detail, models.TaskDetail):
            # TaskFlow's own progress of a step that has ended tells nothing that counts
            now = (detail.state, detail.intention, detail.results, detail.failure)
            if self._written.get(detail.uuid) == now:
                return detail
            self._written[detail.uuid] = now
        return self._connection.update_atom_details(detail)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
