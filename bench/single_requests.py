# SPDX-License-Identifier: Apache-2.0
"""Measure what single requests cost: CPU of the service and of the database, and requests a second.

One worker process; one client that sends the calls of an operation one after the other, on one
connection if the service keeps it, then 16 clients at once. A program of its own: ``run.py``
measures bytes and imports. Prints a table and writes it into ``results/``.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import payload
import report
from http_client import Client, UnexpectedAnswer
from peer import Peer
from processes import free_port, wait_until
from service import GlanceLite, UnderUwsgi

HERE = Path(__file__).resolve().parent
CLIENTS = 16
LISTED = 25
IMPORT_SECONDS = 300
PATCH_TYPE = 'application/openstack-images-v2.1-json-patch'
PATCH = [
    {'op': 'replace', 'path': '/name', 'value': 'bench changed'},
    {'op': 'add', 'path': '/bench', 'value': 'yes'},
]
#: What images of a cloud usually have.
ATTRIBUTES = {
    'os_distro': 'debian',
    'os_version': '12',
    'architecture': 'x86_64',
    'hw_disk_bus': 'virtio',
    'hw_qemu_guest_agent': 'yes',
    'tags': ['lts', 'cloud'],
}
DIRECT = {'name': 'glance-direct'}
SERVICES = {kind.key: kind for kind in (UnderUwsgi, GlanceLite, Peer)}

#: What one call of an operation does to one image.
Call = Callable[[Client, str], None]
#: Service key → operation → figures, one for each round.
Figures = dict[str, dict[str, dict[str, list[float]]]]


class DatabaseServer:
    """The CPU clock of the MariaDB server on this host, found by its name."""

    def __init__(self) -> None:
        self._clocks = [
            # the clock that clock_getcpuclockid(3) tells for a process
            ~int(entry.name) << 3 | 2
            for entry in Path('/proc').iterdir()
            if entry.name.isdigit() and _command_name(entry) in ('mariadbd', 'mysqld')
        ]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds so far; NaN when the server is on another host."""
        if not self._clocks:
            return math.nan
        try:
            return sum(time.clock_gettime(clock) for clock in self._clocks)
        except OSError:  # one of them has ended, and was not the one that is measured
            return math.nan


def _command_name(process: Path) -> str:
    try:
        return (process / 'comm').read_text().strip()
    except OSError:
        return ''


class Bench:
    """The operations, in an order in which each finds the images that it needs."""

    def __init__(
        self,
        service: GlanceLite | Peer,
        count: int,
        source: Path,
        figures: dict[str, dict[str, list[float]]],
    ) -> None:
        self._service = service
        self._count = count
        self._source = source
        self._figures = figures
        self._database = DatabaseServer()
        self._client = service.client()

    def run(self) -> None:
        """Measure every operation once, and remove the images."""
        images = self._created('create')
        self._measure('show', images, _show)
        self._measure(f'list of {LISTED}', images, _list)
        self._measure('patch', images, _patch)
        self._measure('stage 1 MiB', images, self._upload('stage'), together=False)
        self._measure('import', images, _import, together=False)
        self._measure('tasks', images, _tasks)
        stored = self._created(None)
        self._measure('PUT file 1 MiB', stored, self._upload('file'), together=False)
        self._measure('show, active', stored, _show)
        self._measure('GET file 1 MiB', stored, _download)
        self._measure('delete', stored, _delete, together=False)
        if isinstance(self._service, Peer):
            self._wait_for_imports(images)
        self._client.delete_all_images()

    def _created(self, name: str | None) -> list[str]:
        """Create the images; measured under a name, if there is one."""
        made: list[str] = []

        def create(client: Client, image: str) -> None:
            made.append(client.create_image('bench', ATTRIBUTES))

        places = [''] * self._count
        if name is None:
            self._one_by_one(places, create)
        else:
            self._measure(name, places, create)
        return made[: self._count]

    def _upload(self, what: str) -> Call:
        return lambda client, image: client.upload(image, what, self._source)

    def _measure(self, name: str, images: list[str], call: Call, together: bool = True) -> None:
        """Call once for each image, in turn, then by many clients at once.

        :param together: whether the calls can be made again, for the second part.
        """
        self._service.processes.settle()
        before = self._service.processes.cpu_seconds(), self._database.cpu_seconds()
        self._one_by_one(images, call)
        after = self._service.processes.cpu_seconds(), self._database.cpu_seconds()
        found = self._figures[name]
        found['service_ms'].append((after[0] - before[0]) * 1000 / len(images))
        found['database_ms'].append((after[1] - before[1]) * 1000 / len(images))
        if together:
            found['per_second'].append(self._all_at_once(images, call))

    def _one_by_one(self, images: list[str], call: Call) -> None:
        for image in images:
            call(self._client, image)

    def _all_at_once(self, images: list[str], call: Call) -> float:
        """Return the calls a second of many clients; each makes its share of the calls."""

        def work(share: list[str]) -> None:
            client = self._service.client(timeout_seconds=60)
            try:
                for image in share:
                    call(client, image)
            except (OSError, UnexpectedAnswer) as error:
                failures.append(error)
            finally:
                client.close()

        failures: list[Exception] = []
        shares = [images[number::CLIENTS] for number in range(CLIENTS)]
        threads = [threading.Thread(target=work, args=(share,)) for share in shares]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return len(images) / (time.perf_counter() - began)

    def _wait_for_imports(self, images: list[str]) -> None:
        """Wait for the imports of a service that runs them itself."""

        def active() -> bool:
            shown = self._client.call('GET', _path(images[-1]))
            return shown['status'] == 'active'

        wait_until(active, IMPORT_SECONDS, 'the last import', self._service.processes)


def _path(image: str) -> str:
    return f'/v2/images/{image}'


def _show(client: Client, image: str) -> None:
    client.call('GET', _path(image))


def _list(client: Client, image: str) -> None:
    client.call('GET', f'/v2/images?limit={LISTED}')


def _tasks(client: Client, image: str) -> None:
    client.call('GET', _path(image) + '/tasks')


def _download(client: Client, image: str) -> None:
    client.download(image)


def _patch(client: Client, image: str) -> None:
    client.call('PATCH', _path(image), PATCH, PATCH_TYPE)


def _import(client: Client, image: str) -> None:
    client.start_import(image, DIRECT)


def _delete(client: Client, image: str) -> None:
    client.call('DELETE', _path(image))


def new_figures() -> dict[str, dict[str, list[float]]]:
    """Return figures of a service, without any yet."""
    return defaultdict(lambda: defaultdict(list))


def table(figures: Figures) -> str:
    """Return the figures as a table: the least of all rounds, as other programs only add."""
    keys = [key for key in SERVICES if key in figures]
    names = [SERVICES[key].name for key in keys]
    lines = ['| CPU ms: service + database | ' + ' | '.join(names) + ' |']
    lines.append('| --- |' + ' ---: |' * len(keys))
    for name in next(iter(figures.values())):
        cells = []
        for key in keys:
            found = figures[key][name]
            cell = f'{min(found["service_ms"]):.2f} + {min(found["database_ms"]):.2f}'
            if found['per_second']:
                cell += f' ({statistics.median(found["per_second"]):,.0f}/s)'
            cells.append(cell)
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Measure what single requests cost.')
    parser.add_argument('--count', type=int, default=300, help='calls of each operation')
    parser.add_argument('--rounds', type=int, default=3, help='rounds; the least is shown')
    parser.add_argument('--service', action='append', choices=SERVICES, help='may be repeated')
    parser.add_argument('--envs', type=Path, default=HERE / '.envs', help='virtual environments')
    parser.add_argument('--folder', type=Path, help='where data lies while it runs')
    return parser.parse_args()


def make_services(options: argparse.Namespace, folder: Path) -> list[GlanceLite | Peer]:
    """Return the services that were asked for, prepared, with one worker each."""
    made: list[GlanceLite | Peer] = []
    for key, kind in SERVICES.items():
        if options.service and key not in options.service:
            continue
        environment = options.envs / ('peer' if kind is Peer else 'ours')
        more = {} if kind is Peer else {'api_only': True}
        service = kind(environment, folder / key, free_port(), free_port(), workers=1, **more)
        service.prepare()
        made.append(service)
    return made


def main() -> int:
    """Run; a failure leaves the logs."""
    options = parse()
    base = options.folder or HERE / '.work'
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix='requests-', dir=base)).resolve()
    source = payload.make(folder / 'payload', 1).path
    figures: Figures = {}
    services = make_services(options, folder)
    try:
        for number in range(options.rounds):
            for service in services:
                print(f'round {number + 1} of {service.name}', flush=True)
                found = figures.setdefault(service.key, new_figures())
                os.sync()
                service.start()
                try:
                    Bench(service, CLIENTS, source, new_figures()).run()  # what is built once
                    Bench(service, options.count, source, found).run()
                finally:
                    service.stop()
    except (OSError, RuntimeError, UnexpectedAnswer) as error:
        print(f'{error}\nkept, with logs: {folder}')
        return 1
    finally:
        for service in services:
            service.remove()
    report.keep('requests', table(figures), figures)
    shutil.rmtree(folder)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
