# SPDX-License-Identifier: Apache-2.0
"""The conductor: TaskFlow's, with leases that are renewed, counted attempts and clear outcomes.

There is no start-up repair: an import that was left behind is a job whose lease ran out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from concurrent import futures
from typing import Any

from oslo_log import log
from taskflow import engines, states
from taskflow import exceptions as taskflow_exceptions
from taskflow.conductors.backends import impl_nonblocking

from glance_lite import exceptions
from glance_lite.conductor import outcome
from glance_lite.conductor.heartbeat import Heartbeat
from glance_lite.conductor.janitor import Janitor
from glance_lite.conductor.persistence import Persistence
from glance_lite.context import RequestContext
from glance_lite.db import conductors, jobs, tasks
from glance_lite.db.engine import Session, current_ms
from glance_lite.domain import task as task_domain
from glance_lite.image_import.flow import build_flow
from glance_lite.image_import.run import ImportRun
from glance_lite.jobs.board import load_board
from glance_lite.jobs.sql_board import SQLJob
from glance_lite.services import Services

LOG = log.getLogger(__name__)

#: Milliseconds for which a staging area must have been out of reach before imports fail for it.
UNREACHABLE_MS = 30_000
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
        super().__init__(
            name,
            load_board(conf, services.db, areas, name),
            engine='serial',
            wait_timeout=conf.conductor.poll_interval,
            log=log.getLogger('glance_lite.conductor.taskflow'),
            max_simultaneous_jobs=conf.taskflow_executor.max_workers,
        )
        self._services = services
        self._storage = Persistence(services.db)
        self._heartbeat = Heartbeat(services.db, name, host, areas, conf.conductor.lease)
        self._janitor = Janitor(services, [self.fail_unreachable])

    def run(self, max_dispatches: int | None = None) -> None:
        """Run imports until :meth:`stop`, then wait for those that still run."""
        LOG.info('Conductor %s runs imports', self._name)
        with self._heartbeat.beating(), self._janitor.working(), contextlib.closing(self._jobboard):
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
        """Fail the waiting imports whose staging area no live conductor reaches."""
        with self._services.db.reader() as session:
            live = conductors.live_areas(session, UNREACHABLE_MS)
            lost = jobs.list_unreachable(session, live, UNREACHABLE_MS)
        for row in lost:
            job = SQLJob(self._jobboard, row)
            try:
                self._jobboard.claim(job, self._name)
            except taskflow_exceptions.UnclaimableJob:
                continue
            self._finish(
                job,
                self._fail(
                    job,
                    exceptions.ImportFailed(
                        'staging_unreachable',
                        'No conductor reaches the host where the data was staged; stage it again.',
                    ),
                ),
            )

    def _fail(self, job: SQLJob, error: exceptions.ImportFailed) -> bool:
        try:
            run = self._begin(job)
            if run is not None:
                run.error = outcome.explain(error, run, run.phase, None)
                outcome.settle_failure(self._services, run)
            self._storage.forget(job.uuid)
            return True
        except exceptions.LeaseLost:
            return False

    def hand_over(self) -> None:
        """Make running imports stop where they are; other conductors resume them."""
        for run in self._heartbeat.runs:
            run.hand_over()

    @property
    def running(self) -> int:
        """How many imports run now."""
        return len(self._heartbeat.runs)

    def _dispatch_job(self, job: SQLJob) -> bool:
        """Run one attempt; True if the job is finished and can be consumed."""
        try:
            run = self._begin(job)
            if run is None:  # settled by a conductor that died before it could say so
                self._storage.forget(job.uuid)
                return True
            with self._heartbeat.speaking_for(run):
                return self._attempt(run)
        except exceptions.LeaseLost:
            LOG.info('Import %s: left to another conductor', job.uuid)
            return False

    def _begin(self, job: SQLJob) -> ImportRun | None:
        """Count the attempt; None if the task is final already."""
        lease = job.lease
        assert lease is not None

        def work(session: Session) -> tuple[task_domain.Task, int]:
            lease.guard(session)
            task = tasks.get(session, job.uuid)
            if task.status not in task_domain.FINAL:
                task.attempts = tasks.start_attempt(session, job.uuid)
            return task, current_ms(session)

        task, now = self._services.db.transact(work)
        if task.status in task_domain.FINAL:
            return None
        left = None if task.deadline_ms is None else (task.deadline_ms - now) / 1000
        run = ImportRun(task, lease, left)
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
        return run

    def _attempt(self, run: ImportRun) -> bool:
        if outcome.is_published(self._services, run):
            outcome.settle_published(self._services, run)
            self._storage.forget(run.task.task_id)
            return True
        if run.task.attempts > self._services.conf['import'].max_attempts:
            run.error = outcome.explain(
                exceptions.ImportFailed(
                    'lost_worker', 'Too many conductors went away while they ran the import.'
                ),
                run,
                run.phase,
                None,
            )
            outcome.settle_failure(self._services, run)
            return True
        state = self._run_flow(run)
        if state == states.SUCCESS:
            outcome.settle_success(self._services, run)
        elif state in _ENDED:
            outcome.settle_failure(self._services, run)
        else:
            return False
        self._storage.forget(run.task.task_id)
        return True

    def _run_flow(self, run: ImportRun) -> str:
        """Run or resume the flow; return the state in which it stands then."""
        detail = self._storage.flow_detail(run.task.task_id)
        if detail.state in _ENDED:  # ended before it could be settled
            return str(detail.state)
        try:
            plan = build_flow(self._services, run)
            engine = engines.load(
                plan.flow,
                flow_detail=detail,
                engine='serial',
                backend=self._storage.backend_for(run.lease),
            )
            _watch(engine, run, plan.plugin_of, self._services)
            engine.compile()
            engine.prepare()
        except exceptions.LeaseLost:
            raise
        except Exception as error:
            LOG.exception('Import %s: the flow could not be built', run.task.task_id)
            run.error = run.error or outcome.explain(error, run, run.phase, None)
            return str(states.FAILURE)
        with contextlib.suppress(Exception):  # the failure was recorded when it happened
            engine.run()
        return str(engine.storage.get_flow_state())

    def _on_job_done(self, job: SQLJob, future: futures.Future[bool]) -> None:
        """Consume the job, or leave it to whoever claims it next."""
        finished = False
        try:
            finished = future.result()
        except BaseException:
            LOG.exception('Import %s: interrupted by a fault', job.uuid)
        try:
            self._finish(job, finished)
        finally:
            self._dispatched.discard(future)

    def _finish(self, job: SQLJob, finished: bool) -> None:
        try:
            if finished:
                self._jobboard.consume(job, self._name)
            else:
                self._jobboard.abandon(job, self._name)
        except taskflow_exceptions.NotFound:
            LOG.debug('Job %s is no longer ours', job.uuid)
        except Exception as error:
            LOG.warning('Job %s keeps its lease until it runs out: %s', job.uuid, error)


def _watch(engine: Any, run: ImportRun, plugin_of: dict[str, str], services: Services) -> None:
    """Follow the steps: name the phase that runs, and record the first failure when it happens."""

    def on_change(state: str, details: dict[str, Any]) -> None:
        name = details.get('task_name') or details['retry_name']
        plugin = plugin_of.get(name)
        if state == states.RUNNING:
            run.enter(f'run-plugin:{plugin}' if plugin else name, plugin)
        elif state == states.FAILURE and run.error is None:
            failure = details['result']
            _record(services, run, failure, run.phase, plugin)

    engine.atom_notifier.register('*', on_change)


def _record(
    services: Services, run: ImportRun, failure: Any, phase: str, plugin: str | None
) -> None:
    """Keep why the import failed, before anything is undone: a crash then loses no reason."""
    # what was loaded from the database has no exception any more, only its text
    cause = failure.exception or RuntimeError(failure.exception_str)
    error = outcome.explain(cause, run, phase, plugin)
    LOG.warning(
        'Import %s: %s failed [%s]\n%s',
        run.task.task_id,
        phase,
        run.task.request_id,
        failure.pformat(traceback=True),
    )
    run.error = error

    def work(session: Session) -> None:
        run.guard(session)
        tasks.update(session, run.task.task_id, error=error, message=error['message'])

    services.db.transact(work)
