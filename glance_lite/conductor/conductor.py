# SPDX-License-Identifier: Apache-2.0
"""The conductor: TaskFlow's, with leases that are renewed, counted attempts and clear outcomes.

There is no start-up repair: an import that was left behind is a job whose lease ran out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import futurist
from oslo_log import log
from taskflow import engines, states
from taskflow import exceptions as taskflow_exceptions
from taskflow.conductors.backends import impl_nonblocking
from taskflow.types import timing

from glance_lite import exceptions
from glance_lite.conductor import outcome, telling
from glance_lite.conductor.heartbeat import Heartbeat
from glance_lite.conductor.janitor import Janitor
from glance_lite.conductor.persistence import Journal, Persistence
from glance_lite.conductor.resuming import may_go_on
from glance_lite.context import RequestContext
from glance_lite.db import conductors, flows, jobs, tasks
from glance_lite.db.engine import Session, is_outage
from glance_lite.domain import task as task_domain
from glance_lite.image_import.flow import build_flow
from glance_lite.image_import.run import ImportRun, late
from glance_lite.jobs.board import load_board
from glance_lite.jobs.sql_board import SQLJob
from glance_lite.services import Services

LOG = log.getLogger(__name__)

#: Milliseconds for which no conductor has reached a staging area whose imports then fail.
UNREACHABLE_MS = 30_000
#: Milliseconds that a job waits at least before it is judged so.
YOUNG_MS = 5_000
#: Seconds between two looks for waiting imports that nobody need run any more.
CLOSING_SECONDS = 0.5
#: Milliseconds before an import is claimed again whose database went away; they double each time
#: that it happens to the same import, up to the most.
OUTAGE_MS, MOST_OUTAGE_MS = 1_000, 15_000
#: Threads that may be left alone with steps that do not end, beside those that run imports.
SPARE_THREADS = 16
#: States in which a flow will not go on.
_ENDED = (states.SUCCESS, states.REVERTED, states.FAILURE)


class ImportConductor(impl_nonblocking.NonBlockingConductor):
    """Claims imports from the board and runs each in a thread."""

    def __init__(self, services: Services) -> None:
        """Prepare to run imports; the name is new each time, so that no old claim is renewed."""
        conf = services.conf
        host = socket.gethostname()
        name = f'{host}:{os.getpid()}:{uuid.uuid4()}'
        areas = [services.staging.area_id]
        at_once = conf.taskflow_executor.max_workers
        self._pause = _Pause(conf.conductor.poll_interval, lambda: self._is_full)
        board = load_board(
            conf, services.db, areas, name, lambda: services.conf['import'].max_per_project
        )
        board.on_claim = tasks.start_attempt
        super().__init__(
            name,
            board,
            engine='serial',
            wait_timeout=self._pause,
            log=log.getLogger('glance_lite.conductor.taskflow'),
            max_simultaneous_jobs=at_once,
            executor_factory=lambda: futurist.ThreadPoolExecutor(at_once + SPARE_THREADS),
        )
        self._services = services
        self._storage = Persistence(services.db)
        self._heartbeat = Heartbeat(
            services.db, name, host, areas, conf.conductor.lease, self._patience, self._leave
        )
        self._janitor = Janitor(services, [self.fail_unreachable])
        #: Waiting imports that no conductor reached when it was looked last.
        self._unreachable: set[str] = set()
        #: How often the database went away under imports that are not over.
        self._interruptions: dict[str, int] = {}
        #: Threads whose import was taken from them, as their step does not end.
        self._left: set[futures.Future[bool]] = set()

    def run(self, max_dispatches: int | None = None) -> None:
        """Run imports until :meth:`stop`, then wait for those that still run."""
        LOG.info('Conductor %s runs imports', self._name)
        with (
            self._heartbeat.beating(),
            self._janitor.working(),
            self._closing(),
            contextlib.closing(self._jobboard),
        ):
            self._jobboard.connect()
            super().run(max_dispatches)
        LOG.info('Conductor %s ends', self._name)

    def run_pending(self) -> int:
        """Run every import that can be claimed, one after another, and return how many."""
        count = 0
        with self._heartbeat.beating():
            while (job := next(self._jobboard.iterjobs(), None)) is not None:
                self._jobboard.claim(job, self._name)
                self._finish(job, self._dispatch_job(job))
                count += 1
        return count

    def fail_unreachable(self) -> None:
        """Fail the waiting imports whose staging area no live conductor reaches.

        Those that were found so the last time, too: a database that took no signs of life for a
        while shows none.
        """
        self._heartbeat.check_in()
        with self._services.db.reader() as session:
            live = conductors.live_areas(session, UNREACHABLE_MS)
            live.add(self._services.staging.area_id)
            lost = jobs.list_unreachable(session, live, YOUNG_MS)
        before, self._unreachable = self._unreachable, {row.uuid for row in lost}
        for row in lost:
            if row.uuid not in before:
                continue
            self._end_waiting(
                row,
                exceptions.ImportFailed(
                    'staging_unreachable',
                    'No conductor reaches the host where the data was staged; stage it again.',
                ),
            )

    def close_waiting(self) -> None:
        """End the waiting imports that were cancelled or are past their deadline."""
        with self._services.db.reader() as session:
            rows = jobs.list_ending(session)
        for row in rows:
            self._end_waiting(row, late())

    @property
    def is_exhausted(self) -> bool:
        """Whether so many steps do not end that this process had better be started anew."""
        return len(self._left) >= SPARE_THREADS

    def _end_waiting(self, row: jobs.JobRow, error: exceptions.GlanceLiteError) -> None:
        """End an import that nobody runs; ``error`` unless it was cancelled."""
        job = SQLJob(self._jobboard, row)
        job.is_for_its_end = True
        try:
            self._jobboard.claim(job, self._name)
        except taskflow_exceptions.UnclaimableJob:
            return
        self._finish(job, self._end(job, error))

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        """Call :meth:`close_waiting` now and then while the block runs."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(CLOSING_SECONDS):
                try:
                    self.close_waiting()
                except Exception as error:
                    LOG.warning('Waiting imports were not looked at: %s', error)

        thread = threading.Thread(target=work, name='closing', daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(CLOSING_SECONDS)

    def _patience(self, run: ImportRun) -> float:
        """Return for how many seconds an import may stand still where it is."""
        if run.plugin_overdue != float('-inf'):
            return float('inf')  # the plugin has a timeout of its own
        limits = self._services.conf['import']
        return float(limits.plugin_timeout if run.plugin else limits.idle_timeout)

    def _leave(self, run: ImportRun) -> None:
        """Take an import from a step that does not end, and settle it under a new claim."""
        LOG.error(
            'Import %s: %s does not end; it is left alone',
            run.task.task_id,
            run.plugin or run.phase,
        )
        for future in list(self._dispatched):
            if future.job.uuid == run.task.task_id:
                self._left.add(future)
                self._dispatched.discard(future)
        self._pause.wake()
        threading.Thread(target=self._take_over, args=(run,), name='leave', daemon=True).start()

    def _take_over(self, run: ImportRun) -> None:
        run.lease.lose()
        error = run.error or outcome.explain(run.stop_reason, run, run.phase, run.plugin)
        try:
            job = self._jobboard.take_over(run.task.task_id, run.lease.gen)
            if job is not None:
                self._finish(job, self._end(job, error))
        except Exception as trouble:
            # its lease runs out, and whoever claims it next finds the same
            LOG.warning('Import %s was not settled: %s', run.task.task_id, trouble)

    def hand_over(self) -> None:
        """Make running imports stop where they are; other conductors resume them."""
        for run in self._heartbeat.runs:
            run.hand_over()

    @property
    def running(self) -> int:
        """How many imports run now, but those whose step is left alone."""
        return len(self._dispatched)

    @property
    def _is_full(self) -> bool:
        return len(self._dispatched) >= self._max_simultaneous_jobs

    def _dispatch_job(self, job: SQLJob) -> bool:
        """Run one attempt; True if the job is finished and can be consumed."""
        with self._attempt(job) as run:
            if run is not None:
                self._settle(run, self._run_flow(run))
        return job.is_gone

    def _end(self, job: SQLJob, error: dict[str, Any] | exceptions.GlanceLiteError) -> bool:
        """End an import without running it, unless it was published; as :meth:`_dispatch_job`."""
        with self._attempt(job) as run:
            if run is not None:
                if not isinstance(error, dict):
                    error = outcome.explain(run.stop_reason or error, run, run.phase, None)
                run.fail(run.error or error)
                outcome.settle_failure(self._services, run)
        return job.is_gone

    @contextlib.contextmanager
    def _attempt(self, job: SQLJob) -> Iterator[ImportRun | None]:
        """Give the run of a claimed job; None if an earlier attempt had it published or ended."""
        try:
            run = self._begin(job)
            if run is None:
                yield None
                return
            with self._heartbeat.speaking_for(run):
                if outcome.is_published(self._services, run):
                    outcome.settle_published(self._services, run)
                    job.is_gone = True
                    yield None
                    return
                yield run
                job.is_gone = run.is_settled
        except exceptions.AttemptInterrupted as error:
            self._interrupted(job, error)
        except exceptions.LeaseLost:
            LOG.info('Import %s: left to another conductor', job.uuid)
        except Exception as error:
            if not is_outage(error):
                raise
            self._interrupted(job, error)

    def _interrupted(self, job: SQLJob, error: BaseException) -> None:
        LOG.warning('Import %s: interrupted by trouble with the database: %s', job.uuid, error)
        count = self._interruptions[job.uuid] = self._interruptions.get(job.uuid, 0) + 1
        job.retry_after_ms = min(OUTAGE_MS * 2 ** min(count, 10), MOST_OUTAGE_MS)

    def _begin(self, job: SQLJob) -> ImportRun | None:
        """Return the attempt that the claim counted; None if the task is final already."""
        task, now = job.claimed
        assert job.lease is not None
        if task.status in task_domain.FINAL:
            self._services.db.transact(lambda session: self._forget(session, job))
            job.is_gone = True
            return None
        left = None if task.deadline_ms is None else (task.deadline_ms - now) / 1000
        run = ImportRun(task, job.lease, left)
        if task.cancel_requested:
            run.cancel()
        # what this thread logs from here on belongs to the request that asked for the import
        RequestContext.from_record(task.caller).update_store()
        LOG.info(
            'Import %s of image %s: attempt %d (%s)',
            task.task_id,
            task.image_id,
            task.attempts,
            task.plan['method'],
        )
        telling.begun(self._services, run)
        return run

    @staticmethod
    def _forget(session: Session, job: SQLJob) -> None:
        assert job.lease is not None
        job.lease.end(session)
        flows.forget(session, job.uuid)

    def _settle(self, run: ImportRun, state: str) -> None:
        """Record how a flow ended.

        :raises RuntimeError: it did not.
        """
        if state == states.SUCCESS:
            outcome.settle_success(self._services, run)
        elif state in _ENDED:
            outcome.settle_failure(self._services, run)
        else:
            raise RuntimeError(f'the flow stands still in state {state}')

    def _run_flow(self, run: ImportRun) -> str:
        """Run or resume the flow; return the state in which it stands then."""
        if run.task.attempts > self._services.conf['import'].max_attempts:
            lost = exceptions.ImportFailed(
                'lost_worker', 'Too many conductors went away while they ran the import.'
            )
            run.fail(outcome.explain(lost, run, run.phase, None))
            return str(states.FAILURE)
        journal = self._storage.journal(run)
        if journal.detail.state in _ENDED:  # ended before it could be settled
            return str(journal.detail.state)
        try:
            if (
                run.is_persisted
                and not journal.is_failing
                and not may_go_on(
                    journal.detail, bool(run.task.plan['plugins']), self._services.staging
                )
            ):
                LOG.info('Import %s: begins at its first step again', run.task.task_id)
                journal.begin_again()
            plan = build_flow(self._services, run)
            engine = engines.load(
                plan.flow, flow_detail=journal.detail, engine='serial', backend=journal
            )
            # only this thread uses it; its lock would be taken some 300 times an import
            engine.storage._lock = _NO_LOCK
            _watch(engine, journal, run, plan.plugin_of)
            engine.compile()
            engine.prepare()
        except exceptions.LeaseLost:
            raise
        except Exception as error:
            run.give_way(error)
            LOG.exception('Import %s: the flow could not be built', run.task.task_id)
            run.fail(run.error or outcome.explain(error, run, run.phase, None))
            return str(states.FAILURE)
        with contextlib.suppress(Exception):  # the failure was recorded when it happened
            engine.run()
        return str(engine.storage.get_flow_state())

    def _on_job_done(self, job: SQLJob, future: futures.Future[bool]) -> None:
        """Consume the job, or leave it to whoever claims it next."""
        try:
            self._finish(job, future.result())
        except BaseException:
            LOG.exception('Import %s: interrupted by a fault', job.uuid)
            with contextlib.suppress(Exception):
                self._jobboard.trash(job, self._name)
        finally:
            self._dispatched.discard(future)
            self._left.discard(future)
            self._pause.wake()

    def _finish(self, job: SQLJob, finished: bool) -> None:
        try:
            if finished:
                self._interruptions.pop(job.uuid, None)
                self._jobboard.consume(job, self._name)
            else:
                self._jobboard.abandon(job, self._name)
        except taskflow_exceptions.NotFound:
            LOG.debug('Job %s is no longer ours', job.uuid)
        except Exception as error:
            LOG.warning('Job %s keeps its lease until it runs out: %s', job.uuid, error)


class _NoLock:
    """The lock of a flow's storage that one thread has for itself."""

    def read_lock(self) -> contextlib.AbstractContextManager[None]:
        """Return what a reader enters."""
        return _FREE

    write_lock = read_lock


_FREE = contextlib.nullcontext()
_NO_LOCK = _NoLock()


class _Pause(timing.Timeout):
    """How long the conductor waits between two looks at the board: while it is full, until an
    import has ended.
    """

    def __init__(self, seconds: float, is_full: Any) -> None:
        super().__init__(seconds)
        self._is_full = is_full
        self._awake = threading.Event()

    def wake(self) -> None:
        """End the wait if it is for an import to end."""
        self._awake.set()

    def interrupt(self) -> None:
        """Stop the conductor."""
        super().interrupt()
        self._awake.set()

    def wait(self) -> None:
        """Wait, at most so long unless the conductor is full."""
        while self._is_full() and not self.is_stopped():
            self._awake.wait(1.0)
            self._awake.clear()
            if not self._is_full():
                return
        super().wait()


def _watch(engine: Any, journal: Journal, run: ImportRun, plugin_of: dict[str, str]) -> None:
    """Follow the steps: name the phase that runs, and say why the first one failed."""

    def on_change(state: str, details: dict[str, Any]) -> None:
        if state == states.RUNNING:
            name = details.get('task_name') or details['retry_name']
            plugin = plugin_of.get(name)
            run.enter(f'run-plugin:{plugin}' if plugin else name, plugin)
        else:
            run.activity += 1

    def on_failure(detail: Any) -> None:
        if run.error is not None:
            return
        failure = detail.failure
        # what was loaded from the database has no exception any more, only its text
        cause = failure.exception or RuntimeError(failure.exception_str)
        run.fail(outcome.explain(cause, run, run.phase, plugin_of.get(detail.name)))
        LOG.warning(
            'Import %s: %s failed [%s]\n%s',
            run.task.task_id,
            run.phase,
            run.task.request_id,
            failure.pformat(traceback=True),
        )

    journal.on_failure = on_failure
    engine.atom_notifier.register('*', on_change)
