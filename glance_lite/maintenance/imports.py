# SPDX-License-Identifier: Apache-2.0
"""Imports as an operator sees them: which there are, what holds one up, once more, and no more."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.api import views
from glance_lite.conductor.conductor import UNREACHABLE_MS
from glance_lite.context import RequestContext
from glance_lite.db import images, import_status, staged, tasks
from glance_lite.db.engine import Database, Session, utcnow
from glance_lite.db.import_status import ConductorStatus, JobStatus
from glance_lite.domain import image as image_domain
from glance_lite.domain import import_request, task_request, text
from glance_lite.domain import task as task_domain
from glance_lite.domain.task import Task
from glance_lite.image_import import start
from glance_lite.remote.urls import is_masked, mask_url
from glance_lite.services import Services

#: Seconds since it was seen for which a conductor counts as alive.
ALIVE_SECONDS = 10.0
#: Characters of an id that name an import at least.
LEAST_CHARACTERS = 4

_BEGINNING = re.compile(r'[0-9a-f-]+')
#: Seconds between two looks at an import that is being cancelled.
_POLL_SECONDS = 0.2


class Ambiguous(exceptions.GlanceLiteError):
    """The beginning of an id fits several."""

    code = 'ambiguous'


@dataclasses.dataclass(frozen=True)
class Report:
    """An import, its job if it is unfinished, and the conductors that are remembered."""

    task: Task
    job: JobStatus | None
    conductors: list[ConductorStatus]

    @property
    def alive(self) -> list[ConductorStatus]:
        """The conductors that are alive."""
        return [each for each in self.conductors if each.seen_seconds < ALIVE_SECONDS]

    @property
    def age_seconds(self) -> float:
        """Seconds since the import was requested."""
        assert self.task.created_at is not None
        return max(0.0, (utcnow() - self.task.created_at).total_seconds())

    @property
    def queue_position(self) -> int | None:
        """The place in the queue of an import that nobody has begun; 1 is next."""
        position: int | None = (self.task.progress or {}).get('position')
        return position

    @property
    def reached_by(self) -> list[ConductorStatus]:
        """The living conductors that may run the import."""
        area = None if self.job is None else self.job.area
        return [each for each in self.alive if area is None or area in each.areas]


@dataclasses.dataclass(frozen=True)
class Details:
    """All about one import.

    ``image_status`` is None if the image was deleted, or is yet to be made.
    """

    report: Report
    image_status: str | None
    staged: staged.Staged | None
    deadline_seconds: float | None
    next: str

    @property
    def uri(self) -> str | None:
        """Where the data comes from, fit for anybody's eyes."""
        return _uri(self.report.task)


def list_imports(
    db: Database, statuses: frozenset[str], project: str | None = None
) -> list[Report]:
    """Return the imports in these statuses that can still be read, the oldest first."""
    with db.reader() as session:
        found = tasks.list_all(session, statuses, project)
        return _reports(session, found)


def find(db: Database, beginning: str) -> Task:
    """Return the import whose id begins so, or the last one of the image whose id does.

    :raises NotFound: there is none.
    :raises Ambiguous: there are several.
    """
    beginning = beginning.strip().lower()
    if len(beginning) < LEAST_CHARACTERS or not _BEGINNING.fullmatch(beginning):
        raise exceptions.NotFound(
            f'Give the id of an import or of an image, or at least the first {LEAST_CHARACTERS} '
            'characters of it.'
        )
    with db.reader() as session:
        found = tasks.find(session, beginning)
        if not found and text.is_uuid(beginning):
            images.get(session, beginning)
            raise exceptions.NotFound(f'Image {beginning} has no import that can still be read.')
    fitting = {task.task_id for task in found if task.task_id.startswith(beginning)}
    fitting |= {
        task.image_id
        for task in found
        if task.image_id is not None and task.image_id.startswith(beginning)
    }
    if not fitting:
        raise exceptions.NotFound(
            f'No import that can still be read, nor its image, has an id that begins with '
            f'{beginning}.'
        )
    if len(fitting) > 1:
        shown = ', '.join(sorted(fitting)[:5]) + (', ...' if len(fitting) > 5 else '')
        raise Ambiguous(f'Several ids begin with {beginning}: {shown}.')
    return found[0]


def describe(conf: cfg.ConfigOpts, db: Database, task: Task) -> Details:
    """Return all about an import, and what happens to it next."""
    with db.reader() as session:
        (report,) = _reports(session, [task])
        data = None
        status = None
        if task.image_id is not None:
            data = staged.get(session, task.image_id)
            try:
                status = images.get(session, task.image_id).status
            except exceptions.ImageNotFound:
                pass
        left = import_status.deadline_seconds(session, task.task_id)
        running = import_status.count_running(session, task.owner)
    sentence = _next(report, running, conf['import'].max_per_project, left)
    return Details(report, status, data, left, sentence)


def retry(services: Services, beginning: str) -> Task:
    """Post the last import of an image again as it was, if it failed; return the new one.

    Plugins are those of today, and so are the limits. A task that makes its image makes it under
    the id that it was to have.

    :raises Conflict: it has not failed, or cannot be repeated as it was.
    """
    old = _last_of_image(services.db, find(services.db, beginning))
    assert old.image_id is not None
    if old.status not in task_domain.FINAL:
        raise exceptions.ImportRunning(
            f'Import {old.task_id} of image {old.image_id} is not finished; cancel it first.'
        )
    if old.status != task_domain.FAILURE:
        raise exceptions.Conflict(f'The last import of image {old.image_id} has not failed.')
    if old.type == task_domain.LOCATION_IMPORT:
        raise exceptions.Conflict('A location is not registered again from here.')
    uri = old.plan.get('uri')
    if uri is not None and is_masked(uri):
        raise exceptions.Conflict(
            'The import cannot be repeated from here: the secrets of its URI were not kept. '
            'Its owner can send the request again.'
        )
    for store_id in old.plan['stores']:
        services.stores.get(store_id)
    caller = RequestContext.from_record({**old.caller, 'request_id': None})
    if task_domain.makes_image(old):
        return _retry_task(services, caller, old)
    return _retry_import(services, caller, old)


def _retry_import(services: Services, caller: RequestContext, old: Task) -> Task:
    """Fill the image, which is there, in the same way."""
    assert old.image_id is not None
    body = old.input['import_req']
    wanted = import_request.parse(body, services.conf.enabled_import_methods)
    with services.db.reader() as session:
        image = images.get(session, old.image_id)
        start.require_importable(session, image, wanted)
    start.check_source(services, wanted)
    return start.start_import(services, caller, image, wanted, tuple(old.plan['stores']), body)


def _retry_task(services: Services, caller: RequestContext, old: Task) -> Task:
    """Make the same image; rights and quotas of its owner are asked by the import itself."""
    assert old.image_id is not None
    with services.db.reader() as session:
        if images.is_taken(session, old.image_id):
            raise exceptions.Conflict(
                f'Image {old.image_id} was made and deleted since. Its owner can send the request '
                'again.'
            )
    wanted = task_request.TaskRequest(
        old.plan['source'], old.input['import_from_format'], old.input['image_properties']
    )
    image = image_domain.from_draft(old.image_id, old.plan['image'])
    uri = start.check_task_source(services, wanted)
    return start.start_task(services, caller, image, wanted, uri, tuple(old.plan['stores']))


def cancel(db: Database, task: Task) -> None:
    """Ask for the end of an import, as its owner may.

    :raises Conflict: it has ended.
    """
    asked = db.transact(
        lambda session: tasks.request_cancel(session, task.task_id), done=lambda session: False
    )
    if not asked:
        raise exceptions.Conflict(f'Import {task.task_id} has ended already.')


def wait(db: Database, task_id: str, seconds: float) -> Task:
    """Return the task of an import when it has ended, or as it is after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        with db.reader() as session:
            task = tasks.get(session, task_id)
        if task.status in task_domain.FINAL or time.monotonic() >= until:
            return task
        time.sleep(_POLL_SECONDS)


def document(report: Report) -> dict[str, Any]:
    """Return an import as JSON data: the task as the API shows it, and what operators need."""
    task, job = report.task, report.job
    return views.image_task(task) | {
        'method': task.plan.get('method'),
        'uri': _uri(task),
        'stores': task.plan.get('stores'),
        'plugins': task.plan.get('plugins'),
        'attempts': task.attempts,
        'cancel_requested': task.cancel_requested,
        'age_seconds': round(report.age_seconds, 1),
        'queue_position': report.queue_position,
        'conductor': None if job is None else job.conductor,
        'lease_seconds': None if job is None else job.lease_seconds,
        'staging_area': None if job is None else job.area,
    }


def details_document(details: Details) -> dict[str, Any]:
    """Return :class:`Details` as JSON data."""
    data = details.staged
    return document(details.report) | {
        'image_status': details.image_status,
        'staged_file': None if data is None else data.file_name,
        'staged_size': None if data is None else data.facts.get('size'),
        'deadline_seconds': details.deadline_seconds,
        'reached_by': [each.name for each in details.report.reached_by],
        'next': details.next,
    }


def _uri(task: Task) -> str | None:
    uri = task.plan.get('source') or task.plan.get('uri')  # as its owner gave it
    return None if uri is None else mask_url(uri)


def _reports(session: Session, found: list[Task]) -> list[Report]:
    jobs = import_status.jobs_of(session, [task.task_id for task in found])
    conductors = import_status.list_conductors(session)
    return [Report(task, jobs.get(task.task_id), conductors) for task in found]


def _last_of_image(db: Database, task: Task) -> Task:
    if task.image_id is None:
        return task
    with db.reader() as session:
        return tasks.list_for_image(session, task.image_id)[-1]


def _next(report: Report, running: int, most: int, deadline_seconds: float | None) -> str:
    """Return what happens to an import next, in one sentence.

    :param running: imports of its project that run.
    :param most: as many may; 0 for no limit.
    """
    task, job = report.task, report.job
    if task.status in task_domain.FINAL:
        return _after_the_end(task)
    if job is None:
        return 'It has no job, so nobody will run it. That is a fault; delete its image.'
    if job.is_held:
        return f'Conductor {job.conductor} {"undoes" if task.cancel_requested else "runs"} it.'
    if not report.alive:
        return 'It waits: no conductor is alive.'
    if not report.reached_by:
        return f'It waits: no live conductor reaches its staging area. It fails {_soon(report)}.'
    if task.cancel_requested:
        return 'It is cancelled, and a conductor ends it within seconds.'
    if deadline_seconds is not None and deadline_seconds < 0:
        return 'Its deadline has passed, and a conductor ends it within seconds.'
    if most and running >= most:
        return (
            f'It waits: {running} imports of its project run, and [import] max_per_project '
            'permits no more.'
        )
    if job.conductor is not None:
        return 'Its conductor is lost; another one resumes it when it is free.'
    position = report.queue_position
    if position is None or position <= 1:
        return 'It is the next that a free conductor takes.'
    return f'It waits for a free conductor; {position - 1} before it in the queue.'


def _after_the_end(task: Task) -> str:
    if task.status == task_domain.SUCCESS:
        return 'Nothing: it is done.'
    error = task.error or {}
    if error.get('retryable'):
        return f'Nothing, until it is repeated: glance-lite-manage imports retry {task.image_id}'
    return 'Nothing: the same import would fail again.'


def _soon(report: Report) -> str:
    """Return when an import fails whose staging area is out of reach."""
    assert report.job is not None
    seen = [each.seen_seconds for each in report.conductors if report.job.area in each.areas]
    left = UNREACHABLE_MS / 1000 - min(seen, default=UNREACHABLE_MS / 1000)
    return f'in about {left:.0f} s' if left >= 1 else 'within seconds'
