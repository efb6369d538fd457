# SPDX-License-Identifier: Apache-2.0
"""TaskFlow's persistence over our own engine, for flows that are mostly short.

Steps bear to run again, so the end of a step need not be written at once: a crash costs the work
of a second. An import that is over in less leaves no trace in TaskFlow's tables. What must not be
forgotten, that a step failed and how far it is undone, is written when it happens.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from taskflow import exceptions as taskflow_exceptions
from taskflow import states
from taskflow.persistence import models
from taskflow.persistence.backends import impl_sqlalchemy

from glance_lite.db import flows, tasks
from glance_lite.db.engine import Database, Session
from glance_lite.image_import.run import ImportRun

#: Seconds of finished steps that a crash may cost.
WRITE_SECONDS = 1.0


class Persistence:
    """Flow details in the tables that our migrations made."""

    def __init__(self, db: Database) -> None:
        self._engine = _Fenced(db)
        self._backend = impl_sqlalchemy.SQLAlchemyBackend(
            {'connection': str(db.engine.url)}, engine=self._engine
        )
        # a new connection builds its tables anew and defeats every statement cache; it holds no
        # database connection, so one serves all threads
        self._connection = self._backend.get_connection()

    def journal(self, run: ImportRun) -> Journal:
        """Return the journal of an import, with what an earlier attempt wrote of its flow."""
        detail = None
        if run.lease.gen > 1:
            try:
                detail = self._connection.get_flow_details(run.task.task_id)
            except taskflow_exceptions.NotFound:
                pass
        return Journal(self._connection, self._engine, run, detail)


class Journal:
    """The flow detail of one import, and the backend through which its engine writes.

    It is its own connection. Only the thread that runs the flow uses it.
    """

    def __init__(
        self, connection: Any, engine: _Fenced, run: ImportRun, detail: models.FlowDetail | None
    ) -> None:
        self._connection, self._engine, self._run = connection, engine, run
        self._run.is_persisted = detail is not None
        self._recorded = run.error
        self._receipts = dict(run.receipts)
        self._written_at = time.monotonic()
        self._atoms: dict[str, tuple[Any, ...]] = {}
        #: Called with a step that failed: it sets the error of the run, which is then written
        #: together with the failure, so that none is known without the other.
        self.on_failure: Callable[[models.AtomDetail], None] = lambda detail: None
        self._book: models.LogBook | None = None
        if detail is not None:
            self.detail = detail
        else:
            self._open_book()
        # what was written is kept to the letter: steps may be half undone
        self._at_once = self.is_failing

    @property
    def is_failing(self) -> bool:
        """Whether a step has failed, and others may be undone."""
        return any(atom.state in _FAILING for atom in self.detail)

    def begin_again(self) -> None:
        """Forget what an earlier attempt wrote."""

        def work(session: Session) -> None:
            self._run.guard(session)
            flows.forget(session, self._run.task.task_id)

        self._engine.transact(work)
        self._run.is_persisted = False
        self._open_book()

    def _open_book(self) -> None:
        self.detail = models.FlowDetail('image-import', uuid=self._run.task.task_id)
        self._book = models.LogBook('image-import', uuid=self._run.task.task_id)
        self._book.add(self.detail)

    def get_connection(self) -> Journal:
        """Return itself, for any number of times."""
        return self

    def close(self) -> None:
        """Stay open."""

    def update_flow_details(
        self, detail: models.FlowDetail, ignore_missing: bool = False
    ) -> models.FlowDetail:
        """Keep the state of the flow."""
        self.detail.update(detail)
        self._write()
        return detail

    def update_atom_details(self, detail: models.AtomDetail) -> models.AtomDetail:
        """Keep the state of a step.

        :raises LeaseLost: the step failed for the database, and not for itself.
        """
        if detail.failure is not None and detail.failure.exception is not None:
            self._run.give_way(detail.failure.exception)
        if detail.state == states.FAILURE:
            self.on_failure(detail)
        atom = self.detail.find(detail.uuid)
        atom.update(detail)
        if (detail.state, detail.intention) == (states.RUNNING, states.EXECUTE):
            # a step that was running when its conductor died runs again, as one that never began
            return detail
        if isinstance(detail, models.TaskDetail):
            # TaskFlow's own progress of a step that has ended tells nothing that counts
            now = (detail.state, detail.intention, detail.results, detail.failure)
            if self._atoms.get(detail.uuid) == now:
                return detail
            self._atoms[detail.uuid] = now
        self._at_once = self._at_once or detail.state in _FAILING
        self._write()
        return detail

    def _write(self) -> None:
        """Write all of it, if it is time.

        :raises LeaseLost: the import is another's, or the database is away.
        """
        if self._run.is_settled:
            return
        now = time.monotonic()
        if not self._at_once and now - self._written_at < WRITE_SECONDS:
            return
        self._run.lease.check()
        try:
            with self._engine.proving(self._prove):
                if self._run.is_persisted:
                    self._connection.update_flow_details(self.detail)
                else:
                    self._connection.save_logbook(self._book)
        except Exception as error:  # TaskFlow wraps those of SQLAlchemy, not those of oslo.db
            self._run.give_way(error)
            raise
        self._run.is_persisted = True
        self._recorded = self._run.error
        self._receipts = dict(self._run.receipts)
        self._written_at = time.monotonic()

    def _prove(self, session: Session) -> None:
        self._run.guard(session)
        values: dict[str, Any] = {}
        error = self._run.error
        if error is not None and error is not self._recorded:
            values = {'error': error, 'message': error['message']}
        if self._run.receipts != self._receipts:
            # an attempt that goes on behind the plugins knows from here what they did
            values['receipts'] = list(self._run.receipts.values())
        if values:
            tasks.update(session, self._run.task.task_id, **values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Fenced:
    """What TaskFlow's backend needs of an engine, with transactions that prove a lease first."""

    def __init__(self, db: Database) -> None:
        self.url = db.engine.url
        self._db = db
        self._local = threading.local()

    @contextlib.contextmanager
    def proving(self, prove: Callable[[Session], None]) -> Iterator[None]:
        """Call ``prove`` at the beginning of each transaction of this thread in the block."""
        self._local.prove = prove
        try:
            yield
        finally:
            self._local.prove = None

    @contextlib.contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a transaction that writes."""
        with self._db.writer() as session:
            prove = getattr(self._local, 'prove', None)
            if prove is not None:
                prove(session)
            yield session

    def transact(self, work: Callable[[Session], None]) -> None:
        """Do work of our own in a transaction."""
        self._db.transact(work)

    def connect(self) -> Any:
        """Open a transaction that reads."""
        return self._db.engine.connect()


_FAILING = frozenset(
    {states.FAILURE, states.REVERTING, states.REVERTED, states.REVERT_FAILURE, states.RETRYING}
)
