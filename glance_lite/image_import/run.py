# SPDX-License-Identifier: Apache-2.0
"""One attempt to run an import: how far it is, and whether it may go on."""

from __future__ import annotations

import time
from typing import Any

from glance_lite import exceptions
from glance_lite.db.engine import Session, is_outage
from glance_lite.domain import image as domain
from glance_lite.domain import import_request
from glance_lite.domain.task import Task
from glance_lite.image_import import subject
from glance_lite.jobs.lease import Lease
from glance_lite.remote.urls import mask_url


class ImportRun:
    """Shared by the steps of one attempt and the heartbeat that speaks for it.

    Steps count bytes with :meth:`advance` and ask :meth:`checkpoint` before whatever takes long
    or changes something. Plain attributes are enough: one thread writes, another reads.
    """

    def __init__(self, task: Task, lease: Lease, seconds_left: float | None = None) -> None:
        """Begin an attempt; ``seconds_left`` until the deadline of the import, None for none."""
        assert task.image_id is not None
        self.task = task
        self.lease = lease
        self.image_id: str = task.image_id
        #: The image, for the steps to read and change.
        self.subject = subject.of(task)
        #: A word for what this attempt writes, unlike that of any other attempt.
        self.attempt = f'{task.task_id[:8]}-{lease.gen}'
        self.phase = 'confirm-claim'
        self.plugin: str | None = None
        self.bytes_done = 0
        self.bytes_total: int | None = None
        #: Where the data is that the next plugin gets; empty before there is any.
        self.data_path = ''
        #: What plugins did, by their names in the order in which they ran.
        self.receipts: dict[str, dict[str, Any]] = {
            receipt['plugin']: receipt for receipt in task.receipts or ()
        }
        #: Grows with each sign of life that moves no bytes.
        self.activity = 0
        #: Why the import fails, as the owner reads it; None while all is well.
        self.error: dict[str, Any] | None = task.error
        #: Whether something of the flow may be in the database, to be removed at the end.
        self.is_persisted = lease.gen > 1
        #: Whether the last word on this import is written, and its job gone.
        self.is_settled = False
        #: Why the attempt is to end, once somebody wants that, and since when.
        self.stop_reason: exceptions.GlanceLiteError | None = None
        self.stop_asked_at: float | None = None
        #: When a step has heard it, or the import has failed anyhow, and is being undone.
        self.stop_heard_at = None if task.error is None else time.monotonic()
        self._phases: list[dict[str, Any]] = []
        self._entered_at = time.monotonic()
        self._plugin_limit: tuple[str, float] | None = None
        self._ends_at = None if seconds_left is None else time.monotonic() + seconds_left

    def enter(self, phase: str, plugin: str | None = None) -> None:
        """Note that a step begins, and that the one before it is done."""
        if phase != self.phase:
            self._phases.append(self._current())
            self._entered_at = time.monotonic()
        self.phase, self.plugin = phase, plugin
        self.bytes_done, self.bytes_total = 0, None
        self.activity += 1

    def phases(self) -> list[dict[str, Any]]:
        """Return what this attempt has done so far: each phase with its bytes and seconds."""
        return [*self._phases, self._current()]

    def _current(self) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._entered_at, 3)
        return {'phase': self.phase, 'bytes_done': self.bytes_done, 'seconds': seconds}

    def expect(self, total: int) -> None:
        """Note how many bytes the phase will have."""
        self.bytes_total = total

    def advance(self, count: int) -> None:
        """Count bytes, and raise if the import must not go on."""
        self.bytes_done += count
        self.checkpoint()

    def checkpoint(self) -> None:
        """Raise if the import must not go on.

        :raises LeaseLost: another conductor has it, or is to take it over.
        :raises ImportCancelled: its owner or the deletion of the image ended it.
        :raises ImportFailed: its deadline has passed, or it stood still for too long.
        """
        self.lease.check()
        if self.is_late:
            self.stop(late())
        if self.stop_reason is None and self.plugin_overdue > 0:
            raise self.plugin_late()
        if self.stop_reason is not None:
            self.stop_heard_at = self.stop_heard_at or time.monotonic()
            raise self.stop_reason

    def limit_plugin(self, name: str, ends_at: float | None) -> None:
        """Let a plugin work until then, by the monotonic clock; None once it has ended."""
        self._plugin_limit = None if ends_at is None else (name, ends_at)

    @property
    def plugin_overdue(self) -> float:
        """Seconds since a plugin should have ended; negative while it may go on."""
        limit = self._plugin_limit
        return float('-inf') if limit is None else time.monotonic() - limit[1]

    def plugin_late(self) -> exceptions.ImportFailed:
        """Return the error of a plugin that takes longer than its ``timeout``."""
        return exceptions.ImportFailed(
            'stalled', 'The plugin took longer than the service permits it.'
        )

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self._ends_at is not None and time.monotonic() > self._ends_at

    @property
    def keeps_status(self) -> bool:
        """Whether it adds to an active image, which stays as it is however this ends."""
        return self.task.plan['method'] in import_request.OF_ACTIVE

    @property
    def statuses(self) -> frozenset[str]:
        """The statuses in which this import may hold its image before it has published."""
        return domain.HAS_DATA if self.keeps_status else frozenset({domain.IMPORTING})

    def guard(self, session: Session) -> None:
        """Prove in a transaction that this attempt holds the import, see :meth:`Lease.guard`."""
        self.lease.guard(session)

    def give_way(self, error: BaseException) -> None:
        """Leave the import to another attempt if the database is what failed, and not the import.

        :raises LeaseLost: it is.
        """
        if is_outage(error):
            raise exceptions.AttemptInterrupted(str(error)) from error

    def final_plan(self) -> dict[str, Any]:
        """Return the plan as it is kept when the import is over: without secrets of URLs."""
        plan = self.task.plan
        return plan | {
            name: mask_url(plan[name]) for name in ('uri', 'source') if plan.get(name) is not None
        }

    def stop(self, reason: exceptions.GlanceLiteError) -> None:
        """Make the next checkpoint raise ``reason``; the first one counts."""
        if self.stop_reason is None:
            self.stop_reason, self.stop_asked_at = reason, time.monotonic()

    def fail(self, error: dict[str, Any]) -> None:
        """Note why the import fails: from here on it is only undone."""
        self.error = error
        self.stop_heard_at = self.stop_heard_at or time.monotonic()

    def cancel(self) -> None:
        """Make the next checkpoint raise :class:`ImportCancelled`."""
        self.stop(exceptions.ImportCancelled('The import was cancelled.'))

    def hand_over(self) -> None:
        """Make the next checkpoint leave the import, as it is, to another conductor."""
        self.lease.lose()

    def progress(self) -> dict[str, Any]:
        """Return what the owner sees: phase, plugin, bytes done and in all, percent of the phase.

        ``phases`` has what this attempt has done before: a short import is over before anybody
        looks, and still tells its story.
        """
        done, total = self.bytes_done, self.bytes_total
        return {
            'phase': self.phase,
            'plugin': self.plugin,
            'bytes_done': done,
            'bytes_total': total,
            'percent': min(100, done * 100 // total) if total else None,
            'attempt': self.task.attempts,
            'phases': list(self._phases),
        }


def late() -> exceptions.ImportFailed:
    """Return the error of an import whose deadline has passed."""
    return exceptions.ImportFailed(
        'deadline_exceeded', 'The import took longer than the service permits.'
    )
