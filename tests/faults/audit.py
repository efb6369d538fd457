# SPDX-License-Identifier: Apache-2.0
"""What must be so when the faults are over and the service has come to rest.

Each function returns problems, one sentence each; none means that the promise was kept.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from glance_lite import exceptions
from glance_lite.db import images, models, staged, tasks
from glance_lite.db.engine import Database
from glance_lite.db.image_statements import BARE
from glance_lite.domain import image as domain
from glance_lite.domain import task as task_domain
from glance_lite.domain.task import Task
from tests.faults.clients import Image
from tests.faults.task_clients import Wish

#: Seconds for which a step may wait for the database before it learns that its lease is lost: as
#: long as a server lets a transaction stand still, and on SQLite for whoever writes.
TAIL_SECONDS = {'sqlite': 30.0}
_TAIL_SECONDS = 8.0
#: Fault -> codes that it may bring about, where it does not only delay.
EXPLAINS = {
    'raise': {'internal_error', 'plugin_failed'},
    'drop': {'internal_error', 'plugin_failed'},
    'full': {'no_space', 'plugin_failed'},
    'fail': {'store_failed', 'internal_error'},
    'cut': {'source_truncated', 'source_unreachable', 'source_timeout', 'source_changed'},
    'drop the database': {'internal_error', 'plugin_failed'},
    'cut the source': {'source_truncated', 'source_unreachable', 'source_timeout'},
}
#: Faults that concern whatever runs at the time.
_FOR_ALL = ('drop', 'drop the database', 'cut the source')
#: Tables that are empty when nothing runs.
EMPTY = ('jobs', 'uploads', 'removals', 'logbooks', 'flowdetails', 'atomdetails')
_HOST_PATH = re.compile(r'/(tmp|home|var|dev|srv)/')


def wait_for_rest(look: Callable[[], list[str]], seconds: float) -> list[str]:
    """Wait until ``look()`` has nothing to say; return what it says at the end."""
    ends_at = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < ends_at:
        time.sleep(0.5)
    return found


def records(db: Database) -> list[str]:
    """Nothing is pending, held, or left of an import that is over."""
    problems = []
    with db.reader() as session:
        for name in EMPTY:
            count = session.exec_driver_sql(f'SELECT count(*) FROM {name}').scalar()
            if count:
                problems.append(f'the table {name} has {count} rows')
        for task in _all_tasks(session):
            if task.status not in task_domain.FINAL:
                problems.append(f'task {task.task_id} is {task.status}')
        for image in _all_images(session):
            problems += [f'image {image.image_id} {text}' for text in _wrong_with(session, image)]
    return problems


def _wrong_with(session: Any, image: domain.Image) -> list[str]:
    found = []
    waits = staged.get(session, image.image_id) is not None
    if image.status not in (domain.ACTIVE, domain.QUEUED, domain.UPLOADING):
        found.append(f'is {image.status}')
    if waits != (image.status == domain.UPLOADING):
        found.append(f'is {image.status} and has {"" if waits else "no "}staged data')
    if image.import_task_id is not None:
        found.append(f'is held by task {image.import_task_id}')
    for name in (domain.IMPORT_TASK, domain.IMPORTING_TO_STORES):
        if name in image.properties:
            found.append(f'has the property {name}')
    if image.status == domain.ACTIVE and not image.locations:
        found.append('is active without data')
    history = tasks.list_for_image(session, image.image_id)
    failed = bool(history) and history[-1].status == task_domain.FAILURE
    if failed and image.status != domain.ACTIVE and domain.IMPORT_ERROR not in image.properties:
        found.append('does not tell why its import failed')
    return found


def wished(db: Database, wishes: dict[str, Wish]) -> tuple[dict[str, Image], list[str]]:
    """Return the images that tasks were to make, by id; and what is wrong with tasks and images.

    A success has its image, active and as it was wished, unless it was deleted since; a failure
    has left none, and none has ever been there.
    """
    known: dict[str, Image] = {}
    problems = []
    with db.reader() as session:
        for task in _all_tasks(session):
            if not task_domain.makes_image(task) or task.image_id is None:
                continue
            name = task.input['image_properties']['name']
            wish = wishes[name]
            known[task.image_id] = wish.image(task.image_id)
            taken = images.is_taken(session, task.image_id)
            if (task.status == task_domain.SUCCESS) != taken:
                problems.append(
                    f'task {task.task_id} is a {task.status}, and image {task.image_id} '
                    f'{"was" if taken else "was never"} there'
                )
        there = [image for image in _all_images(session) if image.tags == ['wished']]
    for image in there:
        if image.image_id not in known or image.status != domain.ACTIVE or image.name not in wishes:
            problems.append(
                f'image {image.image_id} ({image.status}) is there, and no task made it'
            )
    return known, problems


def count_tasks(db: Database) -> collections.Counter[str]:
    """Count the tasks that made an image, or were to, by how they ended."""
    with db.reader() as session:
        found = [task for task in _all_tasks(session) if task_domain.makes_image(task)]
    return collections.Counter(
        'success' if task.status == task_domain.SUCCESS else (task.error or {}).get('code', '?')
        for task in found
    )


def files(db: Database, folder: Path, stores: Iterable[str]) -> list[str]:
    """Staging and the stores hold exactly the files of images."""
    with db.reader() as session:
        wanted = {'staging': set(session.scalars(sa.select(models.staged.c.file_name)))}
        for store in stores:
            urls = session.scalars(
                sa.select(models.image_locations.c.url).where(
                    models.image_locations.c.store == store
                )
            )
            wanted[store] = {os.path.basename(url) for url in urls}
    problems = []
    for place, names in wanted.items():
        there = {name for name in os.listdir(folder / place) if not name.startswith('.')}
        problems += [f'{place} has {name}, which no image needs' for name in there - names]
        problems += [f'{place} has lost {name}' for name in names - there]
    return problems


def hashes(db: Database, known: dict[str, Image]) -> list[str]:
    """The data of each active image is what its client sent."""
    problems = []
    with db.reader() as session:
        for image in _all_images(session):
            if image.status != domain.ACTIVE or image.image_id not in known:
                continue
            done = [
                task
                for task in tasks.list_for_image(session, image.image_id)
                if task.status == task_domain.SUCCESS
            ]
            plugins = done[-1].plan['plugins'] if done else []
            expected = known[image.image_id].disk.sha512(plugins)
            if image.os_hash_value != expected:
                problems.append(f'image {image.image_id} has a wrong hash')
            for location in image.locations:
                path = location.url.removeprefix('file://')
                if not os.path.exists(path) or _sha512(path) != expected:
                    problems.append(f'image {image.image_id} has wrong data in {location.store}')
    return problems


def reasons(
    db: Database, known: dict[str, Image], events: list[dict[str, Any]], attempts: int
) -> list[str]:
    """Each failed import has a published code, a safe message, and there was a fault like that.

    :param attempts: so many are enough for ``lost_worker``.
    """
    problems = []
    with db.reader() as session:
        failed = [task for task in _all_tasks(session) if task.status == task_domain.FAILURE]
    for task in failed:
        error = task.error or {}
        code = error.get('code')
        if code not in exceptions.IMPORT_ERRORS:
            problems.append(f'task {task.task_id} has the code {code}')
            continue
        if not task.message or _HOST_PATH.search(task.message):
            problems.append(f'task {task.task_id} says {task.message!r}')
        image = known.get(task.image_id or '')
        used_up = {'lost_worker'} if task.attempts > attempts else set()
        if code not in _explained(task, events) | (image.intended if image else set()) | used_up:
            problems.append(
                f'task {task.task_id} of image {task.image_id} failed in {error.get("phase")} with '
                f'{code} ({task.message}), which no fault explains'
            )
    return problems


def _explained(task: Task, events: list[dict[str, Any]]) -> set[str]:
    """Return the codes that the faults on a task, or on all, can have brought about."""
    found: set[str] = set()
    began, ended = (_seconds(time) for time in (task.created_at, task.updated_at))
    for line in events:
        if line['what'] == 'fault' and line.get('task') == task.task_id:
            found |= EXPLAINS.get(line['action'], set())
        elif line.get('action') in _FOR_ALL and began - 1 < line['at'] < ended + 1:
            found |= EXPLAINS[line['action']]
    return found


def _seconds(time_utc: Any) -> float:
    import datetime

    return float(time_utc.replace(tzinfo=datetime.UTC).timestamp())


def fencing(events: list[dict[str, Any]], kind: str = '') -> list[str]:
    """Nothing is written under a lease that another has; no two conductors run a step at once.

    A process that stood still learns of it only when it goes on, so the end of the step that it was
    in may come late; a transaction may not.

    :param kind: of the database.
    """
    problems = []
    tail = TAIL_SECONDS.get(kind, _TAIL_SECONDS)
    still, deaths = _standstills(events), _deaths(events)
    by_task: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for line in events:
        if 'gen' in line:
            by_task[line['task']].append(line)
    for task, lines in by_task.items():
        found = _late_writes(lines) + _late_steps(lines, still, tail)
        found += _at_once(lines, still, deaths, tail)
        problems += [f'task {task}: {text}' for text in found]
    return problems


def _late_writes(lines: list[dict[str, Any]]) -> list[str]:
    """Return transactions that proved an older lease, and were committed all the same."""
    problems = []
    newest = 0
    late: set[tuple[int, int]] = set()
    for line in lines:
        gen, who = line['gen'], (line['pid'], line['gen'])
        if line['what'] == 'guard' and gen < newest:
            late.add(who)
        elif line['what'] == 'written' and who in late:
            problems.append(f'gen {gen} wrote after gen {newest} had begun')
        if line['what'] in ('claim', 'guard'):
            newest = max(newest, gen)
    return problems


def _late_steps(
    lines: list[dict[str, Any]], still: dict[int, list[tuple[float, float]]], tail: float
) -> list[str]:
    """Return steps that began or ended under an older lease, and should have known."""
    problems = []
    newest, newest_at = 0, 0
    for line in lines:
        if line['gen'] < newest and line['what'] in ('begin', 'end', 'failed'):
            late = (line['t'] - newest_at) / 1e9
            stood = any(
                # it may have stood still between looking at the clock and writing
                began <= max(line['t'], newest_at) and newest_at <= ended > line['t'] - 1e9
                for began, ended in still[line['pid']]
            )
            knows = line['what'] == 'failed' or (line['what'] == 'end' and not line['held'])
            if not stood and not (knows and late < tail):
                problems.append(
                    f'{line["what"]} of {line["step"]} under gen {line["gen"]} {late:.3f} s after '
                    f'gen {newest}'
                )
        if line['what'] in ('claim', 'begin') and line['gen'] > newest:
            newest, newest_at = line['gen'], line['t']
    return problems


def _at_once(
    lines: list[dict[str, Any]],
    still: dict[int, list[tuple[float, float]]],
    deaths: dict[int, float],
    tail: float,
) -> list[str]:
    """Return which steps of a task two processes ran at once, both alive and running."""
    problems = []
    done: list[tuple[dict[str, Any], float]] = []
    open_steps: dict[tuple[int, str], dict[str, Any]] = {}
    for line in lines:
        if line['what'] == 'begin':
            open_steps[line['pid'], line['step']] = line
        elif line['what'] in ('end', 'failed'):
            begun = open_steps.pop((line['pid'], line['step']), None)
            if begun is not None:
                done.append((begun, line['t']))
    done += [(begun, deaths.get(begun['pid'], float('inf'))) for begun in open_steps.values()]
    for (one, one_until), (two, two_until) in itertools.combinations(done, 2):
        if one['pid'] == two['pid']:
            continue
        since, until = max(one['t'], two['t']), min(one_until, two_until)
        if until - since - _stood_still(still, (one['pid'], two['pid']), since, until) > tail * 1e9:
            problems.append(
                f'{one["step"]} (gen {one["gen"]}) and {two["step"]} (gen {two["gen"]}) ran at once'
            )
    return problems


def _stood_still(
    still: dict[int, list[tuple[float, float]]], pids: Iterable[int], since: float, until: float
) -> float:
    """Return for how long one of the processes stood still in a span."""
    return sum(
        max(0.0, min(until, ended) - max(since, began))
        for pid in pids
        for began, ended in still[pid]
    )


def _deaths(events: list[dict[str, Any]]) -> dict[int, float]:
    """Return when which process was killed."""
    found = {}
    for line in events:
        if line['what'] == 'killed':
            found[line['target']] = line['t']
        elif line['what'] == 'fault' and line['action'] == 'kill':
            found[line['pid']] = line['t']
        elif line['what'] == 'ended':
            found.setdefault(line['child'], line['t'])
    return found


def evidence(problems: list[str], events: list[dict[str, Any]]) -> list[str]:
    """Return what happened to the tasks and images that the problems name."""
    text = '\n'.join(problems)
    named = set(re.findall(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}', text))
    return [
        ' '.join(f'{name}={value}' for name, value in line.items() if name != 't')
        for line in events
        if line.get('task') in named or line.get('image') in named or line['what'] == 'strike'
    ]


def _standstills(events: list[dict[str, Any]]) -> dict[int, list[tuple[float, float]]]:
    """Return for each process when it stood still: from and to."""
    found: dict[int, list[tuple[float, float]]] = collections.defaultdict(list)
    since: dict[int, float] = {}
    for line in events:
        if line['what'] == 'fault' and line['action'] == 'stop':
            since[line['pid']] = line['t']
        elif line['what'] == 'stopped':
            since[line['target']] = line['t']
        elif line['what'] == 'cont' and line['target'] in since:
            found[line['target']].append((since.pop(line['target']), line['t']))
    for pid, began in since.items():
        found[pid].append((began, float('inf')))
    return found


def _all_tasks(session: Any) -> list[Task]:
    ids = session.scalars(sa.select(models.tasks.c.id))
    return [tasks.get(session, task_id) for task_id in list(ids)]


def _all_images(session: Any) -> list[domain.Image]:
    rows = session.execute(BARE.where(models.images.c.deleted.is_(False)))
    return images.load(session, rows.all())


def _sha512(path: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha512').hexdigest()
