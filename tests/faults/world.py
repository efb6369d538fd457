# SPDX-License-Identifier: Apache-2.0
"""The real processes that faults strike, kept running: an API with two workers, two conductors."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from glance_lite.db.engine import Database
from tests import services
from tests.faults import database, hooks
from tests.functional.board_servers import Redis
from tests.functional.processes import Process, free_port, program, wait_for
from tests.functional.service import LOCAL_SOURCES, Service, write_config

ROOT = Path(__file__).resolve().parents[2]
LEASE = 1.5
#: Seconds for which a process stands still: longer than the lease, and than a silent upload.
STOPPED_SECONDS = {'conductor': 2.5, 'api': 4.5}
STORES = ('fast', 'cold')
CONDUCTORS = 2
#: More than faults can use up.
MANY_ATTEMPTS = 1000


class World:
    """A service in a folder, on a database of its own."""

    def __init__(
        self, folder: Path, url: str, redis: Redis | None, plugins: list[str], attempts: int
    ) -> None:
        self.folder, self.url, self.redis = folder, sa.make_url(url), redis
        self.faults = folder / 'faults'
        (self.faults / 'armed').mkdir(parents=True)
        self._env = {
            hooks.FOLDER: str(self.faults),
            hooks.DATABASE: url,
            'PYTHONPATH': str(ROOT),
            'PYTHONWARNINGS': 'ignore',
        }
        self._port = free_port()
        self.attempts = attempts
        board = ''
        if redis is not None:
            board = f'job_board = redis\nboard_url = {redis.url}\nreconcile_interval = 2\n'
        write_config(
            folder,
            self._port,
            url,
            '[DEFAULT]\napi_only = true\nworkers = 2\n'
            f'[import]\nmax_attempts = {attempts}\n{LOCAL_SOURCES}'
            f'[image_import_opts]\nimage_import_plugins = {plugins}\n'.replace("'", '')
            + '[web_download]\nread_timeout = 15\n'
            + f'[conductor]\nlease = {LEASE}\npoll_interval = 0.1\n'
            + board,
        )
        self._programs: dict[str, Process] = {}
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._continue_at: dict[int, float] = {}
        self._processes: set[int] = set()
        self._lock = threading.Lock()
        self._seen_bytes = 0
        #: Faults that struck, and other lines of ``events`` worth counting, as they come.
        self.struck: list[dict[str, Any]] = []
        self.unexpected: list[str] = []
        self.sent = 0

    # Running

    @contextlib.contextmanager
    def running(self) -> Iterator[World]:
        """Keep everything running while the block runs."""
        subprocess.run(
            [program('glance-lite-manage'), *self._config, 'db', 'sync'],
            check=True,
            capture_output=True,
        )
        self.db = Database(sa.create_engine(self.url, poolclass=sa.NullPool))
        try:
            for name in ('api', *(f'conductor-{number + 1}' for number in range(CONDUCTORS))):
                self._start(name)
            self.service = Service(self.folder, self._port, self._programs['api'])
            self._run_beside(self._follow)
            self.wait_until_up()
            self._run_beside(self._keep_running)
            yield self
        finally:
            self._ending.set()
            for thread in self._threads:
                thread.join()
            for process in self._programs.values():
                process.kill()

    def _run_beside(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def _config(self) -> list[str]:
        return ['--config-file', str(self.folder / 'glance-api.conf')]

    def _start(self, name: str) -> None:
        module = 'tests.faults.faulty_' + name.split('-')[0]
        self._programs[name] = Process(
            [sys.executable, '-m', module, *self._config], self.folder / f'{name}.log', self._env
        )

    def wait_until_up(self) -> None:
        """Wait until the API answers and all conductors are there."""

        def answers() -> bool:
            for name, process in self._programs.items():
                assert process.popen.poll() is None, f'{name} ended: {process.text()[-2000:]}'
            with contextlib.suppress(requests.RequestException):
                return self.service.request('GET', '/healthcheck', timeout=2).status_code == 200
            return False

        wait_for(
            lambda: answers() and len(self.victims('conductor')) == CONDUCTORS,
            60,
            'an answer of the API and all conductors',
        )

    def _keep_running(self) -> None:
        while not self._ending.wait(0.1):
            for name, process in list(self._programs.items()):
                code = process.popen.poll()
                if code is None:
                    continue
                if code >= 0:
                    self.unexpected.append(f'{name} ended by itself with {code}')
                process.kill()
                self._start(name)

    def _follow(self) -> None:
        """Read the events; let those go on that stand still."""
        while not self._ending.wait(0.05):
            for line in self._new_events():
                if line['what'] == 'process':
                    self._processes.add(line['pid'])
                if line['what'] == 'fault':
                    with self._lock:
                        self.struck.append(line)
                    if line['action'] == 'stop':
                        self._continue_later(line['pid'], hooks_program(line['point']))
            now = time.monotonic()
            for pid in [pid for pid, at in list(self._continue_at.items()) if at < now]:
                self._continue(pid)
        for pid in list(self._continue_at):
            self._continue(pid)

    def _new_events(self) -> list[dict[str, Any]]:
        path = self.faults / 'events'
        if not path.exists():
            return []
        with path.open('rb') as file:
            file.seek(self._seen_bytes)
            data = file.read()
        whole = data[: data.rfind(b'\n') + 1]
        self._seen_bytes += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _continue_later(self, pid: int, kind: str) -> None:
        self._continue_at[pid] = time.monotonic() + STOPPED_SECONDS[kind]

    def _continue(self, pid: int) -> None:
        self._continue_at.pop(pid, None)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            self.note('cont', target=pid)

    def note(self, what: str, **more: Any) -> None:
        """Add to the events."""
        os.environ[hooks.FOLDER] = str(self.faults)
        hooks.note(what, **more)

    def events(self) -> list[dict[str, Any]]:
        """Return all events so far, in order."""
        path = self.faults / 'events'
        return (
            [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        )

    # Faults at points

    def arm(self, point: str, action: str, image_id: str | None = None, skip: int = 0) -> Path:
        """Let a fault wait at a point, for any image or for one; pass it so often before."""
        name = point if image_id is None else f'{point}@{image_id}'
        path = self.faults / 'armed' / name
        with self._lock:
            self.sent += 1
            number = self.sent
        draft = path.with_name(f'.{name}')
        draft.write_text(json.dumps({'action': action, 'skip': skip, 'number': number}))
        draft.rename(path)
        return path

    def disarm_all(self) -> None:
        """Take away what has not struck."""
        for path in (self.faults / 'armed').iterdir():
            path.unlink(missing_ok=True)

    # Faults at random moments

    def victims(self, kind: str) -> list[int]:
        """Return the processes of a kind: 'conductor', 'worker' or 'api' (which has workers)."""
        found = []
        for name, process in list(self._programs.items()):
            if kind == 'api' and name == 'api':
                found.append(process.popen.pid)
            elif (kind == 'worker') == (name == 'api') and kind != 'api':
                # a program that starts has other children too
                found += [pid for pid in _children(process.popen.pid) if pid in self._processes]
        return found

    def strike(self, what: str, rng: random.Random) -> None:
        """Do something terrible now. ``what`` is a key of :data:`STRIKES`."""
        self.tell_strike(what)
        STRIKES[what](self, rng)

    def tell_strike(self, what: str) -> None:
        """Count a fault at a random moment, and add it to the events."""
        self.note('strike', action=what)
        with self._lock:
            self.struck.append({'what': 'strike', 'action': what})

    def _choose_one(self, kind: str, rng: random.Random) -> list[int]:
        """Return one process of a kind, if there is any at the moment."""
        found = self.victims(kind)
        return [rng.choice(found)] if found else []

    def kill(self, kind: str, rng: random.Random) -> None:
        """Kill one process of a kind."""
        for pid in self._choose_one(kind, rng):
            self.note('killed', target=pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def power_failure(self, rng: random.Random) -> None:
        """Kill every process at once."""
        for process in list(self._programs.values()):
            for pid in (process.popen.pid, *_children(process.popen.pid)):
                self.note('killed', target=pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.popen.pid, signal.SIGKILL)

    def stop(self, kind: str, rng: random.Random) -> None:
        """Stop one process for a while."""
        for pid in self._choose_one(kind, rng):
            self.note('stopped', target=pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._continue_later(pid, 'api' if kind == 'worker' else kind)

    def drop_database(self, rng: random.Random) -> None:
        """Close every connection to the database, or lock it for others."""
        if self.url.get_backend_name() != 'sqlite':
            database.close_backends(self.url)
            return
        code = 'from tests.faults import database; database.hold_lock()'
        subprocess.Popen(
            [sys.executable, '-c', code, str(self.url.database), str(hooks.LOCKED_SECONDS)],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        ).wait()

    def empty_board(self, rng: random.Random) -> None:
        """Kill Redis, and start it again without its data."""
        assert self.redis is not None
        self.redis.kill()
        self.redis.forget()
        time.sleep(rng.uniform(0, 1.5))
        self.redis.start()


#: Faults at random moments.
STRIKES = {
    'kill a conductor': lambda world, rng: world.kill('conductor', rng),
    'kill an API worker': lambda world, rng: world.kill('worker', rng),
    'kill the API': lambda world, rng: world.kill('api', rng),
    'kill everything': World.power_failure,
    'stop a conductor': lambda world, rng: world.stop('conductor', rng),
    'stop an API worker': lambda world, rng: world.stop('worker', rng),
    'drop the database': World.drop_database,
    'empty the board': World.empty_board,
}


def hooks_program(point: str) -> str:
    """Return which program a point is in."""
    return hooks.POINTS[point].program


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def world(
    folder: Path,
    kind: str,
    board: str | None = None,
    plugins: tuple[str, ...] = (),
    attempts: int = MANY_ATTEMPTS,
) -> Iterator[World]:
    """Run a world in a new folder, on a new database of this kind, while the block runs.

    :param attempts: ``[import] max_attempts``.
    """
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(services.database(kind, str(folder)))
        redis = None
        if board == 'redis':
            (folder / 'board').mkdir()
            redis = Redis(folder / 'board')
            redis.start()
            stack.callback(redis.kill)
        yield stack.enter_context(World(folder, url, redis, list(plugins), attempts).running())
