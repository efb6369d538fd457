# SPDX-License-Identifier: Apache-2.0
"""Measure pages of images among 1,000 and among 100,000, on MariaDB and on PostgreSQL, over HTTP.

For each database two services run at once, one with few images and one with many, and each query
is sent to one and then to the other, so that what else the machine does meets both. A program of
its own, for this project's service only. Prints a table and writes it into ``results/``.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import databases
import listing_data
import report
from http_client import Client, UnexpectedAnswer
from processes import free_port
from service import GlanceLite

HERE = Path(__file__).resolve().parent
#: Database → the URL of its server, and the database to connect to for making others.
SERVERS = {
    'MariaDB': (databases.server_url(), 'mysql'),
    'PostgreSQL': (
        os.environ.get(
            'GLANCE_LITE_BENCH_POSTGRESQL', 'postgresql+psycopg://postgres@127.0.0.1:5432'
        ).rstrip('/'),
        'postgres',
    ),
}
TARGET_MS = 15.0
TARGET_FLAT = 2.0
ADMIN = 'admin:admin-project:admin,member,reader'
SMALL = 'alice:small-7:member,reader'
LARGE = 'bob:large:member,reader'


@dataclasses.dataclass(frozen=True)
class Query:
    """A page that somebody asks for. ``deep`` puts the marker at 9 in 10 of the images."""

    name: str
    token: str
    params: tuple[tuple[str, str], ...] = ()
    deep: bool = False


def _queries() -> list[Query]:
    some_image = listing_data.image(500)
    middle = (listing_data.BEGIN.replace(day=1, hour=3)).isoformat() + 'Z'
    ids = ','.join(listing_data.image(number)['id'] for number in range(2, 900, 100))
    for_all = {
        'first page': {},
        'property of 1 in 10': {'os_distro': 'distro-3'},
        'property of 1 in 100': {'os_version': 'version-42'},
        'property of 9 in 10': {'hw_disk_bus': 'virtio'},
        'property of one': {'build': 'build-500'},
        'two properties': {'os_distro': 'distro-2', 'os_version': 'version-42'},
        'tag of 1 in 20': {'tag': 'team-4'},
        'tag of 1 in 2': {'tag': 'nightly'},
        'tag and property': {'tag': 'team-4', 'os_distro': 'distro-4'},
        'sort by name': {'sort': 'name:asc'},
        'sort by size': {'sort': 'size:desc'},
        'property, sort by name': {'os_distro': 'distro-3', 'sort': 'name:asc'},
        'name': {'name': some_image['name']},
        'name in:': {'name': f'in:{some_image["name"]},image-x'},
        'id in:': {'id': f'in:{ids}'},
        'status queued': {'status': 'queued'},
        'status active': {'status': 'active'},
        'status in:': {'status': 'in:queued,importing'},
        'os_hidden': {'os_hidden': 'true'},
        'visibility all': {'visibility': 'all'},
        'visibility public': {'visibility': 'public'},
        'visibility shared': {'visibility': 'shared'},
        'visibility private': {'visibility': 'private'},
        'created before': {'created_at': f'lt:{middle}'},
        'updated since, oldest first': {'updated_at': f'gte:{middle}', 'sort': 'updated_at:asc'},
        'size range': {'size_min': '1000000000', 'size_max': '2000000000'},
        'small ones': {'size_max': '100000000'},
        'disk_format iso': {'disk_format': 'iso'},
        'os_hash_value': {'os_hash_value': some_image['os_hash_value']},
        'protected': {'protected': 'true'},
    }
    found = []
    for who, token in (('admin', ADMIN), ('member', SMALL), ('large project', LARGE)):
        found += [
            Query(f'{who}: {name}', token, tuple(params.items()))
            for name, params in for_all.items()
        ]
        found.append(Query(f'{who}: deep marker', token, (), deep=True))
        by_name = Query(f'{who}: deep marker, by name', token, (('sort', 'name:asc'),), deep=True)
        found.append(by_name)
    everyone = (('member_status', 'all'), ('visibility', 'shared'))
    found.append(Query('member: shared, member_status all', SMALL, everyone))
    found.append(Query('large project: shared, member_status all', LARGE, everyone))
    return found


class Listed(GlanceLite):
    """The service among so many images on one of the servers."""

    def __init__(self, environment: Path, folder: Path, server: str, images: int) -> None:
        super().__init__(environment, folder, free_port(), free_port(), workers=1, api_only=True)
        self._server, self._first = SERVERS[server]
        self._database = f'glance_lite_bench_{images}'
        self.images = images

    def fill(self) -> None:
        """Write the images."""
        self._data('fill', f'{self._server}/{self._database}', str(self.images))

    def marker(self, token: str) -> str:
        """Return the id of an image of the caller, behind 9 in 10 of all."""
        owner = {SMALL: 'small-7', LARGE: 'large'}.get(token)
        rows = (listing_data.image(number) for number in range(self.images // 10 - 1, -1, -1))
        return next(
            row['id']
            for row in rows
            if not row['os_hidden'] and (owner is None or row['owner'] == owner)
        )

    def remove(self) -> None:
        """Drop the database."""
        self._data('drop', f'{self._server}/{self._first}', self._database)

    def _make_database(self) -> str:
        self._data('make', f'{self._server}/{self._first}', self._database)
        return f'{self._server}/{self._database}'

    def _data(self, *arguments: str) -> None:
        program = [str(self._bin / 'python'), str(HERE / 'listing_data.py'), *arguments]
        subprocess.run(program, check=True)


def measure(services: list[Listed], query: Query, count: int) -> list[list[float]]:
    """Return the milliseconds of ``count`` calls to each service, one after the other in turn."""
    calls = []
    for service in services:
        params = list(query.params)
        if query.deep:
            params.append(('marker', service.marker(query.token)))
        client = Client(service.port, query.token)
        calls.append((client, '/v2/images?' + urlencode(params)))
    found: list[list[float]] = [[] for _ in services]
    for number in range(count + 3):  # three to warm up
        for times, (client, path) in zip(found, calls, strict=True):
            begin = time.perf_counter()
            client.call('GET', path)
            if number >= 3:
                times.append((time.perf_counter() - begin) * 1000)
    for client, _ in calls:
        client.close()
    return found


def row_of(query: Query, server: str, times: list[list[float]]) -> dict[str, object]:
    """Sum up the times of a query: p50 and p95 among few and many, and how they compare."""
    few, many = (statistics.median(each) for each in times)
    return {
        'query': query.name,
        'database': server,
        'few_p50': few,
        'many_p50': many,
        'few_p95': _p95(times[0]),
        'many_p95': _p95(times[1]),
        'flat': many / few,
        'met': many <= TARGET_MS and many <= TARGET_FLAT * few,
    }


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def table(rows: list[dict[str, object]], counts: list[int]) -> str:
    """Return the rows as a table, the databases side by side."""
    few, many = (f'{count:,}' for count in counts)
    servers = list(dict.fromkeys(str(row['database']) for row in rows))
    head, line = '| query: ms at p50 (p95) |', '| --- |'
    for server in servers:
        head += f' {server}, {few} | {many} | x |'
        line += ' ---: | ---: | ---: |'
    lines = [head, line]
    for name in dict.fromkeys(str(row['query']) for row in rows):
        text = f'| {name} |'
        for row in (row for row in rows if row['query'] == name):
            text += f' {row["few_p50"]:.1f} ({row["few_p95"]:.1f}) |'
            text += f' {row["many_p50"]:.1f} ({row["many_p95"]:.1f}) |'
            text += f' {row["flat"]:.2f}{"" if row["met"] else " **no**"} |'
        lines.append(text)
    met = sum(bool(row['met']) for row in rows)
    lines.append(
        f'\n{met} of {len(rows)} within {TARGET_MS:g} ms and {TARGET_FLAT:g} times their time '
        f'among {few} images.'
    )
    return '\n'.join(lines)


def run(server: str, options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Fill two databases on a server, measure every query, and drop them."""
    services = [
        Listed(options.envs / 'ours', folder / f'{server}-{count}', server, count)
        for count in options.images
    ]
    rows = []
    try:
        for service in services:
            service.prepare()
            print(f'{server}: filling in {service.images:,} images', flush=True)
            service.fill()
            service.start()
        for query in _queries():
            if any(word not in query.name for word in options.only):
                continue
            row = row_of(query, server, measure(services, query, options.count))
            print(
                f'{server}, {query.name}: {row["few_p50"]:.1f} -> {row["many_p50"]:.1f}', flush=True
            )
            rows.append(row)
    finally:
        for service in services:
            if hasattr(service, 'processes'):
                service.stop()
            service.remove()
    return rows


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Measure pages among few and many images.')
    parser.add_argument('--count', type=int, default=50, help='calls of each query')
    parser.add_argument('--images', type=int, nargs=2, default=[1000, 100_000], help='few and many')
    parser.add_argument('--server', action='append', choices=SERVERS, help='may be repeated')
    parser.add_argument('--only', action='append', default=[], help='a word of the names')
    parser.add_argument('--envs', type=Path, default=HERE / '.envs', help='virtual environments')
    parser.add_argument('--folder', type=Path, help='where data lies while it runs')
    return parser.parse_args()


def main() -> int:
    """Run; a failure leaves the logs."""
    options = parse()
    base = options.folder or HERE / '.work'
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix='listing-', dir=base)).resolve()
    rows: list[dict[str, object]] = []
    try:
        for server in options.server or SERVERS:
            rows += run(server, options, folder)
    except (OSError, RuntimeError, UnexpectedAnswer, subprocess.CalledProcessError) as error:
        print(f'{error}\nkept, with logs: {folder}')
        return 1
    report.keep('listing', table(rows, options.images), rows)
    shutil.rmtree(folder)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
