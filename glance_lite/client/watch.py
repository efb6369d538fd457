# SPDX-License-Identifier: Apache-2.0
"""Follow an import by its task until it is over."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from glance_lite.client.display import Display
from glance_lite.client.errors import ClientError, ServiceRefused

#: How long a service that does not answer is asked again.
PATIENCE_SECONDS = 120.0

_FINAL = ('success', 'failure')
_IMPORT_TYPES = ('api_image_import', 'import')


class ImportView(Protocol):
    """What is needed of the service to follow an import."""

    def get_image(self, image_id: str) -> dict[str, Any]:
        """Return an image record."""

    def list_tasks(self, image_id: str) -> list[dict[str, Any]]:
        """Return the tasks of an image."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an import ended: the image and the task as the service shows them last.

    ``image`` is None if it does not exist any more, ``task`` if the image has none.
    """

    image: dict[str, Any] | None
    task: dict[str, Any] | None

    @property
    def is_active(self) -> bool:
        """Tell whether the import succeeded and the image can be used."""
        failed = self.task is not None and self.task.get('status') == 'failure'
        return self.image is not None and self.image.get('status') == 'active' and not failed

    @property
    def error(self) -> dict[str, Any]:
        """Return what the service tells of a failure, empty where it tells nothing."""
        found = (self.task or {}).get('error')
        return dict(found) if isinstance(found, Mapping) else {}

    @property
    def message(self) -> str:
        """Return the service's sentence on a failure; may be empty."""
        return str((self.task or {}).get('message') or '')


def newest_import(tasks: list[dict[str, Any]], task_id: str | None) -> dict[str, Any] | None:
    """Return the task of ``task_id``, or the running or else the latest import among ``tasks``."""
    if task_id is not None:
        return next((task for task in tasks if task.get('id') == task_id), None)
    imports = [task for task in tasks if task.get('type') in _IMPORT_TYPES]
    running = [task for task in imports if task.get('status') not in _FINAL]
    return max(running or imports, key=lambda task: str(task.get('created_at')), default=None)


def follow(
    view: ImportView,
    image_id: str,
    task_id: str | None,
    display: Display,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Show an import phase by phase and return how it ended.

    A service that is away for a while (a restart) is waited for.

    :raises ClientError: if the service refuses, or stays away for :data:`PATIENCE_SECONDS`.
    """
    started = clock()
    phases = _Phases(display)
    while True:
        image, task = _look(view, image_id, task_id, display, sleep, clock)
        status = (task or {}).get('status')
        running = status not in _FINAL if task else (image or {}).get('status') == 'importing'
        if image is None or not running:
            phases.end(task or {})
            return Outcome(image, task)
        phases.show(task or {})
        # short imports are over in a blink, long ones need no such hurry
        sleep(0.05 if clock() - started < 2 else 0.5)


class _Phases:
    """Shows what a task tells of its phases, each phase once for each attempt."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._attempt: object = None
        self._recorded = 0

    def show(self, task: Mapping[str, Any]) -> None:
        """Show a running import."""
        waiting = task.get('progress')
        if isinstance(waiting, Mapping) and waiting.get('phase') == 'waiting':
            before = (_count(waiting.get('position')) or 1) - 1
            self._display.wait(f'waiting, {before} before it' if before else 'waiting for a worker')
            return
        progress = self._record_done(task)
        if not progress.get('phase'):
            waiting = task.get('status') == 'pending'
            self._display.wait('waiting for a worker' if waiting else 'importing')
            return
        done, total = _count(progress.get('bytes_done')), _count(progress.get('bytes_total'))
        self._display.update(str(progress['phase']), done, total)

    def end(self, task: Mapping[str, Any]) -> None:
        """Show an import that is over."""
        progress = self._record_done(task)
        error = task.get('error')
        failed_in = error.get('phase') if isinstance(error, Mapping) else None
        last = failed_in or progress.get('phase')
        if last:
            self._display.update(str(last), _count(progress.get('bytes_done')))
        self._display.end_phase(failed=task.get('status') == 'failure')

    def _record_done(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leave lines for the phases that are done, and return the progress of the task."""
        progress = task.get('progress')
        if not isinstance(progress, Mapping):
            return {}
        if progress.get('attempt') != self._attempt:
            if self._attempt is not None:
                self._display.note('The import was interrupted and goes on.')
            self._attempt, self._recorded = progress.get('attempt'), 0
        done = progress.get('phases')
        for one in list(done)[self._recorded :] if isinstance(done, list) else []:
            self._display.record(
                str(one.get('phase')), _count(one.get('bytes_done')), one.get('seconds') or 0.0
            )
            self._recorded += 1
        return progress


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _look(
    view: ImportView,
    image_id: str,
    task_id: str | None,
    display: Display,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the image and its import's task, with patience for a service that is away."""
    away_since: float | None = None
    while True:
        try:
            # the image after the task: a task that is over has left its image as it stays
            task = newest_import(view.list_tasks(image_id), task_id)
            return view.get_image(image_id), task
        except ServiceRefused as refusal:
            if refusal.status == 404:
                return None, None
            problem: ClientError = refusal
        except ClientError as failure:
            problem = failure
        if not problem.temporary:
            raise problem
        if away_since is None:
            away_since = clock()
            display.note(f'{problem.message} Still trying.')
        if clock() - away_since > PATIENCE_SECONDS:
            raise problem
        sleep(1.0)
