# SPDX-License-Identifier: Apache-2.0
"""Fault points in a real program: its functions are wrapped before it runs.

Nothing is armed by itself. A test writes ``armed/<point>``, or ``armed/<point>@<image id>`` for one
image; the process that reaches the point first takes the file away, and the fault strikes it, once.
So whatever forks, each fault strikes one process. ``events`` has a line for each thing that
happened, in the order in which it did: processes only append.

Wrapping something that is not there any more is an error: a point never vanishes silently.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from taskflow import flow as taskflow_flow

from tests.faults import database
from tests.faults.points import POINTS, STEPS

#: Set by whoever starts the program: the folder of arms and events, and the database's URL.
FOLDER, DATABASE = 'GLANCE_LITE_FAULTS_FOLDER', 'GLANCE_LITE_FAULTS_DATABASE'

#: Seconds for which another process holds the write lock of SQLite.
LOCKED_SECONDS = 2.5


class Fault(Exception):
    """What nobody expects."""


class _Here(threading.local):
    """What the current thread works for; None when for nothing in particular."""

    image_id: str | None = None
    task_id: str | None = None
    run: Any = None
    #: What a request does: stage, upload, import, delete.
    act: str | None = None
    #: The lease that the open transaction has proved: task and gen.
    guarded: dict[str, Any] | None = None


_here = _Here()
_reached: set[str] = set()
_waiting: dict[str, tuple[int, dict[str, Any]]] = {}
_image_of: dict[str, str] = {}
_backends: set[int] = set()
_lock = threading.Lock()


def note(what: str, **more: Any) -> None:
    """Append a line to the events, whole and in order."""
    line = {
        't': time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        'at': round(time.time(), 3),
        'pid': os.getpid(),
        'what': what,
        **more,
    }
    fd = os.open(Path(os.environ[FOLDER], 'events'), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, json.dumps(line).encode() + b'\n')
    finally:
        os.close(fd)


def reach(
    point: str, cut: Callable[[], None] | None = None, lose: Callable[[], None] | None = None
) -> None:
    """Be at a point, and suffer what is armed there.

    :param cut: what cuts the network here.
    :param lose: what loses the answer of the database, when its connection is closed.
    """
    if point not in _reached:
        assert point in POINTS, point
        _reached.add(point)
        note('reached', point=point)
    fault = _take(point) or (_here.image_id and _take(f'{point}@{_here.image_id}'))
    if fault:
        _strike(point, fault, cut, lose)


def _take(name: str) -> dict[str, Any] | None:
    """Take what is armed under a name, and return it if its turn has come."""
    armed = Path(os.environ[FOLDER], 'armed', name)
    taken = armed.with_name(f'.{name}.{os.getpid()}.{threading.get_ident()}')
    with _lock:
        with contextlib.suppress(FileNotFoundError):
            os.rename(armed, taken)
            fault = json.loads(taken.read_text())
            taken.unlink()
            _waiting[name] = (fault.get('skip', 0), fault)
        if name not in _waiting:
            return None
        left, fault = _waiting[name]
        if left:
            _waiting[name] = (left - 1, fault)
            return None
        del _waiting[name]
        return fault


def _strike(
    point: str,
    fault: dict[str, Any],
    cut: Callable[[], None] | None,
    lose: Callable[[], None] | None,
) -> None:
    action = fault['action']
    note(
        'fault',
        point=point,
        action=action,
        image=_here.image_id,
        task=_here.task_id,
        number=fault.get('number'),
    )
    if action == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == 'stop':
        # sent to the process, it might stop only after this thread has gone on
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        note('continued')
    elif action == 'drop':
        _drop_database(point)
        if lose is not None and not _is_embedded():
            lose()
    elif action == 'full':
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    elif action == 'fail':
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    elif action == 'cut':
        assert cut is not None, point
        cut()
    else:
        raise Fault(f'a fault of the test at {point}')


def _is_embedded() -> bool:
    return os.environ[DATABASE].startswith('sqlite')


def _drop_database(point: str) -> None:
    url = sa.make_url(os.environ[DATABASE])
    if not _is_embedded():
        with _lock:
            mine = list(_backends)
        database.close_backends(url, mine)
        return
    code = 'from tests.faults import database; database.hold_lock()'
    held = subprocess.Popen(
        [sys.executable, '-c', code, str(url.database), str(LOCKED_SECONDS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    if point not in ('commit', 'api-commit', 'attempt', 'settle'):  # else we hold the lock
        assert held.stdout is not None
        held.stdout.readline()


def install(program: str) -> None:
    """Wrap the functions of a program, 'api' or 'conductor', that is not running yet."""
    sa.event.listen(sa.pool.Pool, 'connect', _note_backend)
    {'api': _install_api, 'conductor': _install_conductor}[program]()


def shorten() -> None:
    """Make the service notice within seconds what else takes it a minute, in the same order."""
    from glance_lite import receiving
    from glance_lite.conductor import janitor

    _set(receiving, 'RENEW_SECONDS', 0.6)
    _set(receiving, 'LOST_SECONDS', 3.0)
    _set(janitor, 'LOST_SECONDS', 3.0)
    _set(janitor, 'ROUND_SECONDS', 1.0)
    _set(janitor, 'GRACE_SECONDS', 8.0)


# How functions are wrapped


def _set(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f'{owner.__name__} has no {name}'
    setattr(owner, name, value)


def _wrap(owner: Any, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    """Replace a function by what ``make`` makes of it, wherever the service refers to it."""
    assert name in vars(owner), f'the fault points know nothing of {owner.__name__}.{name}'
    original = vars(owner)[name]
    replacement = functools.wraps(original)(make(original))
    setattr(owner, name, replacement)
    for module in list(sys.modules.values()):
        if getattr(module, '__name__', '').startswith('glance_lite'):
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, replacement)


def _before(owner: Any, name: str, point: str) -> None:
    def make(original: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            reach(point)
            return original(*args, **kwargs)

        return wrapped

    _wrap(owner, name, make)


def _after(owner: Any, name: str, point: str) -> None:
    def make(original: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            reach(point)
            return result

        return wrapped

    _wrap(owner, name, make)


@contextlib.contextmanager
def _at(**values: Any) -> Iterator[None]:
    """Work for something while the block runs."""
    before = dict(vars(_here))
    vars(_here).update(values)
    try:
        yield
    finally:
        vars(_here).clear()
        vars(_here).update(before)


# What both programs have


def _note_backend(connection: Any, record: Any) -> None:
    backend = database.backend_of(connection)
    if backend is not None:
        with _lock:
            _backends.add(backend)


def _install_transactions(commit: str, committed: str) -> None:
    from sqlalchemy.engine.default import DefaultDialect

    def make(original: Any) -> Any:
        def do_commit(self: Any, connection: Any) -> None:
            ours = _here.task_id is not None or _here.act is not None
            if ours:
                reach(commit)
            original(self, connection)
            if _here.guarded is not None:
                note('written', **_here.guarded)
                _here.guarded = None
            if ours:
                reach(committed, lose=functools.partial(_lose_answer, connection))

        return do_commit

    def make_rollback(original: Any) -> Any:
        def do_rollback(self: Any, connection: Any) -> None:
            _here.guarded = None
            original(self, connection)

        return do_rollback

    _wrap(DefaultDialect, 'do_commit', make)
    _wrap(DefaultDialect, 'do_rollback', make_rollback)


def _lose_answer(connection: Any) -> None:
    """Raise what the driver raises once the server has closed the connection."""
    while True:
        connection.cursor().execute('SELECT 1')
        time.sleep(0.01)


def _install_writes(point: str) -> None:
    from glance_lite.stores import files

    def make(original: Any) -> Any:
        def write_all(fd: int, data: memoryview) -> None:
            try:
                reach(point)
            except OSError as error:
                raise files.as_store_error(error) from error
            original(fd, data)

        return write_all

    _wrap(files, 'write_all', make)


# The conductor


def _install_conductor() -> None:
    from glance_lite.conductor import conductor, heartbeat, janitor, outcome
    from glance_lite.db import tasks
    from glance_lite.image_import import flow
    from glance_lite.image_import.run import ImportRun
    from glance_lite.jobs.lease import Lease
    from glance_lite.jobs.sql_board import SQLJobBoard
    from glance_lite.stores import files
    from glance_lite.stores.filesystem import FileStore

    _install_transactions('commit', 'committed')
    _install_writes('staging-write')
    _wrap(flow, 'build_flow', _watch_flow)
    _wrap(SQLJobBoard, 'claim', _watch_claim)
    _wrap(conductor.ImportConductor, '_dispatch_job', _watch_dispatch)
    _wrap(Lease, 'guard', _watch_guard)
    _after(tasks, 'start_attempt', 'attempt')
    _before(ImportRun, 'fail', 'record')
    _wrap(tasks, 'finish', _watch_finish)
    for name in ('settle_success', 'settle_failure', 'settle_published'):
        _after(outcome, name, 'settled')
    _wrap(SQLJobBoard, 'consume', _watch_consume)
    _before(heartbeat.Heartbeat, 'beat', 'heartbeat')
    _before(janitor.Janitor, 'go_round', 'janitor')
    _before(files, 'copy_or_link', 'store-copy')
    _before(FileStore, 'publish', 'store-publish')
    _install_source()


def _watch_claim(original: Any) -> Any:
    def claim(self: Any, job: Any, who: str) -> None:
        with _at(task_id=job.uuid, image_id=_find_image(self._db, job.uuid)):
            original(self, job, who)
            note('claim', task=job.uuid, gen=job.lease.gen)
            reach('claim')

    return claim


def _watch_consume(original: Any) -> Any:
    def consume(self: Any, job: Any, who: str) -> None:
        with _at(task_id=job.uuid, image_id=_find_image(self._db, job.uuid)):
            reach('consume')
            original(self, job, who)
            reach('consumed')

    return consume


def _find_image(db: Any, task_id: str) -> str | None:
    """Return whose import a task is; the rows of tasks outlive those of jobs."""
    from glance_lite.db import tasks

    if task_id not in _image_of:
        with contextlib.suppress(Exception), db.reader() as session:
            _image_of[task_id] = tasks.get(session, task_id).image_id or ''
    return _image_of.get(task_id)


def _watch_dispatch(original: Any) -> Any:
    def dispatch(self: Any, job: Any) -> bool:
        with _at(task_id=job.uuid, image_id=_find_image(self._services.db, job.uuid)):
            return bool(original(self, job))

    return dispatch


def _watch_guard(original: Any) -> Any:
    def guard(self: Any, session: Any) -> Any:
        result = original(self, session)
        # the job's row is locked now: these lines come in the order of the transactions
        _here.guarded = {'task': self.job_uuid, 'gen': self.gen}
        note('guard', **_here.guarded)
        return result

    return guard


def _watch_finish(original: Any) -> Any:
    def finish(session: Any, task_id: str, *args: Any, **kwargs: Any) -> Any:
        result = original(session, task_id, *args, **kwargs)
        reach('settle')
        return result

    return finish


def _watch_flow(original: Any) -> Any:
    def build_flow(services: Any, run: Any) -> Any:
        plan = original(services, run)
        for atom in _atoms(plan.flow):
            _watch_step(atom, run, _name_of(atom.name, plan.plugin_of))
        return plan

    return build_flow


def _atoms(flow: Any) -> Iterator[Any]:
    for node, _ in flow.iter_nodes():
        if isinstance(node, taskflow_flow.Flow):
            yield from _atoms(node)
        else:
            yield node


def _name_of(atom: str, plugin_of: dict[str, str]) -> str:
    """Return a step's name as the table has it."""
    name = atom.split(':')[0]
    if name not in STEPS and atom in plugin_of:
        return 'run-plugin'
    assert name in STEPS, f'the fault points know no step {atom}'
    return name


def _watch_step(atom: Any, run: Any, name: str) -> None:
    execute, revert = atom.execute, atom.revert

    def watched(kind: str, work: Any, before: str, after: str | None) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            facts = {'task': run.task.task_id, 'step': atom.name, 'gen': run.lease.gen}
            with _at(task_id=run.task.task_id, image_id=run.image_id, run=run):
                note('begin', kind=kind, held=run.lease.held, **facts)
                try:
                    reach(before)
                    result = work(*args, **kwargs)
                    if after is not None:
                        reach(after)
                except BaseException as error:
                    note('failed', kind=kind, error=type(error).__name__, **facts)
                    raise
                note('end', kind=kind, held=run.lease.held, **facts)
                return result

        return call

    atom.execute = watched('execute', execute, f'begin:{name}', f'end:{name}')
    if f'revert:{name}' in POINTS:
        atom.revert = watched('revert', revert, f'revert:{name}', None)


def _install_source() -> None:
    import socket

    from glance_lite.remote.answer import Answer

    def make(original: Any) -> Any:
        def readinto(self: Any, view: memoryview) -> int:
            reach('source-read', lambda: self._sock.shutdown(socket.SHUT_RDWR))
            return int(original(self, view))

        return readinto

    _wrap(Answer, 'readinto', make)


# The API


def _install_api() -> None:
    from glance_lite.api import body, routes
    from glance_lite.api.handlers import image_data, image_import, images
    from glance_lite.cmd import api
    from glance_lite.db.engine import Database
    from glance_lite.jobs.announcer import Announcer
    from glance_lite.stores.filesystem import FileStore

    _wrap(api, '_serve_requests', _watch_worker)
    _install_transactions('api-commit', 'api-committed')
    _install_writes('body-write')
    acts = {
        'stage': (image_data, 'stage_data'),
        'upload': (image_data, 'upload_data'),
        'import': (image_import, 'create_import'),
        'delete': (images, 'delete_image'),
    }
    for act, (module, name) in acts.items():
        original = vars(module)[name]
        _wrap(module, name, functools.partial(_watch_handler, act))
        _replace_in(routes.ROUTES, original, vars(module)[name])
        _replace_in(routes.IMPORT_ROUTES, original, vars(module)[name])
    _wrap(Database, 'transact', _watch_transact)
    _wrap(image_data, '_begin', _watch_begin)
    _after(image_data, '_stage', 'stage-written')
    _after(image_data, '_record_staged', 'stage-recorded')
    _after(image_data, '_store', 'upload-written')
    _after(image_data, '_publish', 'upload-recorded')
    _before(FileStore, 'publish', 'upload-publish')
    _before(Announcer, 'announce', 'import-committed')

    def make(original: Any) -> Any:
        def readinto(self: Any, buffer: memoryview) -> int:
            if _here.act in ('stage', 'upload'):
                reach('body-read', functools.partial(_cut_body, self))
            return int(original(self, buffer))

        return readinto

    _wrap(body.BodySource, 'readinto', make)


def _watch_worker(original: Any) -> Any:
    def serve(*args: Any) -> Any:
        note('process', program='worker')
        return original(*args)

    return serve


def _replace_in(table: dict[str, dict[str, Any]], original: Any, replacement: Any) -> None:
    for handlers in table.values():
        for method, handler in handlers.items():
            if handler is original:
                handlers[method] = replacement


def _watch_handler(act: str, original: Any) -> Any:
    def handler(request: Any) -> Any:
        with _at(act=act, image_id=request.args['image_id']):
            return original(request)

    return handler


def _watch_transact(original: Any) -> Any:
    def transact(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if _here.act == 'delete':
            reach('delete-committed')
        return result

    return transact


def _watch_begin(original: Any) -> Any:
    def begin(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        reach(f'{_here.act}-entered')
        return result

    return begin


class _Cut:
    """The body of a client that is gone."""

    def readinto(self, buffer: memoryview) -> int:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _cut_body(source: Any) -> None:
    source._input, source._direct = _Cut(), True
