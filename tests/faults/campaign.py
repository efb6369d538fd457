# SPDX-License-Identifier: Apache-2.0
"""Many faults at random while clients bring images without pause; then the audit."""

from __future__ import annotations

import collections
import dataclasses
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import audit
from tests.faults.clients import ACTIVE, FAILED, Client, ClientThread, Image
from tests.faults.disks import DiskSource, disk_source
from tests.faults.points import POINTS
from tests.faults.task_clients import TaskClient, Wish
from tests.faults.world import STORES, World

#: Import plugins of the runs: one that describes, one that puts new data in place of the old.
PLUGINS = ('new_shape', 'transformer')
#: Clients that import, and clients that ask for tasks; the same where tasks are what is tried.
CLIENTS, TASK_CLIENTS = 8, 3
FEW_CLIENTS, MANY_TASK_CLIENTS = 3, 8
#: Faults that wait at points at once, and seconds for which each does.
ARMED, ARMED_SECONDS = 8, 4.0
#: Of all faults, those at random moments. The others come only where the service gets to, so that
#: however slow it is, it does not stand still for faults alone.
MOMENTS = 0.35
#: Seconds from one fault to the next, on average.
PACE_SECONDS = 0.4
#: Seconds in which the service must come to rest when the faults are over.
REST_SECONDS = 60.0
#: Faults at points that hold everything up come less often.
SHARES = {'stop': 0.6, 'drop': 0.4}
#: Faults at random moments and their weights.
WEIGHTS = {
    'kill a conductor': 6,
    'kill an API worker': 3,
    'kill the API': 0.5,
    'kill everything': 0.5,
    'stop a conductor': 3,
    'stop an API worker': 1,
    'drop the database': 1.5,
    'cut the source': 2,
}


@dataclasses.dataclass
class Result:
    """What a campaign found."""

    faults: int = 0
    #: Of them, at how many different points, or from outside.
    places: int = 0
    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    imports: int = 0
    images: int = 0
    #: Tasks that made an image or were to, and how they ended.
    tasks: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    ends: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    again: int = 0
    seconds: float = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    #: What happened to whatever the problems name.
    evidence: list[str] = dataclasses.field(default_factory=list)
    reached: set[str] = dataclasses.field(default_factory=set)

    def summary(self) -> str:
        """Return it in a few lines."""
        kinds = ', '.join(f'{name} {count}' for name, count in sorted(self.kinds.items()))
        ends = ', '.join(f'{name} {count}' for name, count in sorted(self.ends.items()))
        tasks = ', '.join(f'{name} {count}' for name, count in sorted(self.tasks.items()))
        return (
            f'{self.faults} faults at {self.places} points and from outside ({kinds})\n'
            f'{self.images} images ({ends}), {self.imports} imports begun, '
            f'{self.again} failed ones imported again, {self.seconds:.0f} s\n'
            f'{self.tasks.total()} tasks ({tasks})\n'
            f'{len(self.problems)} problems'
        )


class Campaign:
    """Strikes one world with so many faults."""

    def __init__(
        self,
        world: World,
        faults: int,
        seed: int,
        tell: Callable[[str], object] = lambda text: None,
        tasks: int = 0,
    ) -> None:
        """Strike with faults that ``seed`` chooses; ``tell`` hears how far it is.

        :param tasks: go on until so many have ended, and let most clients ask for them.
        """
        self.world, self.faults, self.seed, self.tasks = world, faults, seed, tasks
        self._tell = tell
        self.rng = random.Random(seed)
        self.clients: list[Client] = []
        self.task_clients: list[TaskClient] = []

    def run(self) -> Result:
        """Strike, let it come to rest, audit, import again what failed, audit again."""
        began = time.monotonic()
        with disk_source() as source:
            threads = self._work(source)
            result = self._judge()
            for thread in threads:
                result.ends.update(thread.ended)
            self._import_again(source, result)
        if result.problems:
            result.evidence = audit.evidence(result.problems, self.world.events())
        result.seconds = time.monotonic() - began
        return result

    def _work(self, source: DiskSource) -> list[ClientThread]:
        stop = threading.Event()
        threads = []
        wanted = (FEW_CLIENTS, MANY_TASK_CLIENTS) if self.tasks else (CLIENTS, TASK_CLIENTS)
        for number in range(sum(wanted)):
            client = Client(self.world, source, random.Random(f'{self.seed}-{number}'))
            self.clients.append(client)
            if number < wanted[0]:
                threads.append(ClientThread(client, stop, keep=10))
            else:
                self.task_clients.append(TaskClient(client, stop, keep=10))
        for thread in (*threads, *self.task_clients):
            thread.start()
        self._strike(source)
        stop.set()
        for thread in (*threads, *self.task_clients):
            thread.join()
        return threads

    def _strike(self, source: DiskSource) -> None:
        struck = self.world.struck
        armed: dict[Path, float] = {}
        moments, told = 0, 0
        while len(struck) < self.faults or self._ended_tasks < self.tasks:
            if len(struck) >= told + 100:
                told = len(struck) // 100 * 100
                self._tell(f'{told} faults, {len(self._known)} images, {self._ended_tasks} tasks')
            time.sleep(self.rng.expovariate(1 / PACE_SECONDS))
            if self.rng.random() < MOMENTS and moments <= MOMENTS * len(struck) + 2:
                moments += 1
                self._strike_now(source)
                continue
            now = time.monotonic()
            for path, since in list(armed.items()):
                if now - since > ARMED_SECONDS or not path.exists():
                    path.unlink(missing_ok=True)
                    del armed[path]
            if len(armed) < ARMED:
                armed[self._arm()] = now
        self.world.disarm_all()

    def _strike_now(self, source: DiskSource) -> None:
        weights = WEIGHTS | ({'empty the board': 3.0} if self.world.redis else {})
        what = self.rng.choices(list(weights), list(weights.values()))[0]
        if what == 'cut the source':
            self.world.tell_strike(what)
            source.cut()
        else:
            self.world.strike(what, self.rng)

    def _arm(self) -> Path:
        point = POINTS[self.rng.choice(list(POINTS))]
        weights = [SHARES.get(action, 1.0) for action in point.actions]
        skip = self.rng.choice((0, 1, 5, 20)) if point.name.endswith(_REPEATED) else 0
        action = self.rng.choices(point.actions, weights)[0]
        return self.world.arm(point.name, action, skip=skip)

    @property
    def _known(self) -> dict[str, Any]:
        return {image.image_id: image for client in self.clients for image in client.images}

    @property
    def _ended_tasks(self) -> int:
        return sum(sum(thread.ended.values()) for thread in self.task_clients)

    @property
    def _wishes(self) -> dict[str, Wish]:
        return {name: wish for thread in self.task_clients for name, wish in thread.wishes.items()}

    def _judge(self) -> Result:
        events = self.world.events()
        result = Result(faults=len(self.world.struck))
        result.places = len({line['point'] for line in self.world.struck if 'point' in line})
        result.kinds.update(line['action'] for line in self.world.struck)
        result.reached = {line['point'] for line in events if line['what'] == 'reached'}
        result.images = len(self._known)
        result.imports = sum(client.imports for client in self.clients)
        for client in self.clients:
            result.problems += client.problems
            client.problems = []
        result.problems += self.world.unexpected
        result.problems += look_at_rest(self.world, self._known, self._wishes)
        made, _ = audit.wished(self.world.db, self._wishes)
        result.problems += audit.reasons(
            self.world.db, self._known | made, events, self.world.attempts
        )
        result.tasks.update(audit.count_tasks(self.world.db))
        result.problems += audit.fencing(events, self.world.url.get_backend_name())
        return result

    def _import_again(self, source: DiskSource, result: Result) -> None:
        """See that what failed can be imported under its id, now that nothing strikes."""
        client = Client(self.world, source, random.Random(self.seed))
        client.meddling = 0.0
        known = self._known
        failed = [image for image in known.values() if image.end == FAILED and not image.deleted]
        for image in self.rng.sample(failed, min(10, len(failed))):
            image.tell('and now again')
            client.correct(image)
            if client.bring(image, failures=1, seconds=60) != ACTIVE:
                client.complain(image, 'could not be imported again')
            result.again += 1
        result.problems += client.problems + look_at_rest(self.world, self._known, self._wishes)


_REPEATED = ('-read', '-write', 'commit', 'committed', 'heartbeat')


def look_at_rest(
    world: World, known: dict[str, Image], wishes: dict[str, Wish] | None = None
) -> list[str]:
    """Let the service come to rest; return what is then not as it must be."""

    def look() -> list[str]:
        return audit.records(world.db) + audit.files(world.db, world.folder, STORES)

    problems = audit.wait_for_rest(look, REST_SECONDS)
    made, more = audit.wished(world.db, wishes or {})
    return problems + more + audit.hashes(world.db, known | made)
