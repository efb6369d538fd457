# SPDX-License-Identifier: Apache-2.0
"""Run the steps of a plugin as its section of the configuration says, and write its receipt.

How a plugin is found and built is ``plugin/``; what it works with is ``surface.py``.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable
from typing import Any

from oslo_log import log
from taskflow import atom, task
from taskflow.types import failure

from glance_lite import exceptions
from glance_lite.context import RequestContext
from glance_lite.db.engine import Database
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.wording import safe
from glance_lite.plugin import settings
from glance_lite.plugin.build import BuiltPlugin

LOG = log.getLogger(__name__)

#: What a receipt says of a plugin: it ran and agreed; its conditions did not hold; it failed, and
#: the import went on; it refused the image; it failed.
PASSED, SKIPPED, WARNED, REFUSED, FAILED = 'passed', 'skipped', 'warned', 'refused', 'failed'


def guard(run: ImportRun, db: Database, built: BuiltPlugin) -> None:
    """Put a guard around each step of a plugin that was built for this attempt."""
    keeper = _Guard(run, db, built)
    for item in built.atoms:
        if isinstance(item, task.Task):
            keeper.stand_around(item)


class _Guard:
    """The guard of one plugin in one attempt."""

    def __init__(self, run: ImportRun, db: Database, built: BuiltPlugin) -> None:
        self._run, self._db, self._built = run, db, built
        self._settings = built.settings
        self._unmet: str | None = None
        self._ends_at: float | None = None
        self._is_begun = False
        self._seconds = 0.0

    def stand_around(self, item: task.Task) -> None:
        call, undo = item.execute, item.revert

        @functools.wraps(call)
        def execute(*args: Any, **kwargs: Any) -> Any:
            self._begin()
            if self._unmet is not None:
                self._write(SKIPPED, f'Not run: its conditions ask for another {self._unmet}.')
                return nothing_from(item)
            return self._run_step(item, call, args, kwargs)

        @functools.wraps(undo)
        def revert(*args: Any, **kwargs: Any) -> Any:
            return undo(*args, **kwargs) if self._unmet is None else None

        item.execute, item.revert = execute, revert

    def _begin(self) -> None:
        """Judge the conditions once for all steps, as the first one may change what they ask."""
        if self._is_begun:
            return
        if self._settings.when:
            self._unmet = self._settings.unmet(self._facts())
        if self._settings.timeout is not None:
            self._ends_at = time.monotonic() + self._settings.timeout
        self._is_begun = True

    def _facts(self) -> settings.Facts:
        run = self._run
        with self._db.reader() as session:
            image = run.subject.read_bare(session)
        caller = RequestContext.from_record(run.task.caller)
        return settings.Facts(
            run.task.plan['method'],
            image.disk_format,
            image.container_format,
            frozenset(role.lower() for role in caller.roles),
            caller.project_id,
            os.stat(run.data_path).st_size,
        )

    def _run_step(
        self, item: task.Task, call: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        run = self._run
        before = _state_of(run.data_path)
        began = time.monotonic()
        run.limit_plugin(self._built.name, self._ends_at)
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            self._end(began)
            goes_on = self._settings.on_error == settings.WARN and self._may_go_on(error, before)
            refused = isinstance(error, exceptions.ImportFailed) and error.refused
            outcome = WARNED if goes_on else REFUSED if refused else FAILED
            self._write(outcome, str(error) or type(error).__name__)
            if not goes_on:
                raise
            LOG.warning(
                'Import %s: plugin %s failed, and the import goes on without it',
                run.task.task_id,
                self._built.name,
                exc_info=True,
            )
            _undo(item, kwargs, error)
            return nothing_from(item)
        self._end(began)
        self._write(PASSED, getattr(item, 'note', None))
        return result

    def _end(self, began: float) -> None:
        self._run.limit_plugin(self._built.name, None)
        self._seconds += time.monotonic() - began

    def _may_go_on(self, error: Exception, before: tuple[int, ...]) -> bool:
        """Tell whether an error is the plugin's alone, and has left the data as it was."""
        self._run.give_way(error)
        if isinstance(error, exceptions.ImportCancelled) or self._run.stop_reason is not None:
            return False
        if isinstance(error, exceptions.ImportFailed) and error.refused:
            return False
        return _state_of(self._run.data_path) == before

    def _write(self, outcome: str, note: str | None) -> None:
        self._run.receipts[self._built.name] = {
            'plugin': self._built.name,
            'distribution': self._built.distribution,
            'version': self._built.version,
            'outcome': outcome,
            'seconds': round(self._seconds, 3),
            'note': None if note is None else safe(note),
        }


def nothing_from(item: atom.Atom) -> Any:
    """Return what a step gives that did nothing: None for each value that it provides."""
    places = [place for place in item.save_as.values() if place is not None]
    if not places:
        return None
    if all(isinstance(place, int) for place in places):
        return (None,) * (max(places) + 1)
    return dict.fromkeys(places)


def _undo(item: task.Task, values: dict[str, Any], error: Exception) -> None:
    """Have a step undo what it did outside the image before it failed."""
    cause = failure.Failure.from_exception(error)
    offered = values | {'result': cause, 'flow_failures': {item.name: cause}}
    parameters = inspect.signature(item.revert).parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        wanted = {each.name for each in parameters}
        offered = {name: value for name, value in offered.items() if name in wanted}
    try:
        item.revert(**offered)
    except Exception:
        LOG.exception('%s failed to undo its work', item.name)


def _state_of(path: str) -> tuple[int, ...]:
    """Return what shows whether a file was written to or replaced."""
    try:
        info = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return ()
    return info.st_ino, info.st_size, info.st_mtime_ns
