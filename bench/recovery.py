# SPDX-License-Identifier: Apache-2.0
"""Measure how soon imports go on elsewhere after ``kill -9`` of their conductor.

An API and two conductors run on one host. Imports download from a source that drips, so that they
run at any moment. Again and again one of the conductors is killed; what counts is the time from
the kill to the line in the other's log that begins the next attempt, for each import that the dead
one ran, and the time until its owner sees that attempt in ``GET /v2/images/<id>/tasks``. Uses the
programs that are installed beside the Python that runs this file.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from http_client import Client
from processes import ServiceProcesses, free_port, wait_until

PROGRAMS = Path(sys.executable).parent
IMPORTS = 6
START_SECONDS = 60
POLL_SECONDS = 0.005

CONF = """\
[DEFAULT]
bind_port = {port}
workers = 1
api_only = true
node_staging_uri = file://{folder}/staging
[glance_store]
filesystem_store_datadir = {folder}/store
[database]
connection = {database}
[conductor]
lease = {lease}
[import_filtering_opts]
permitted_networks = 127.0.0.0/8
allowed_ports =
"""


class DrippingHandler(BaseHTTPRequestHandler):
    """Announce much and send a little now and then."""

    def do_GET(self) -> None:
        """Send until the client leaves."""
        self.send_response(200)
        self.send_header('Content-Length', str(1 << 30))
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(4096))
                time.sleep(0.2)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class Conductor:
    """One conductor, started again after each kill; all its lives share a log."""

    def __init__(self, conf: Path, log: Path) -> None:
        self._command = [str(PROGRAMS / 'glance-lite-conductor'), '--config-file', str(conf)]
        self._log = log
        log.touch()

    processes: ServiceProcesses | None = None

    def start(self) -> None:
        """Start it, and return when it looks for imports."""
        lives = self._read().count('runs imports')
        self.processes = ServiceProcesses(self._command, self._log)
        wait_until(
            lambda: self._read().count('runs imports') > lives,
            START_SECONDS,
            'a conductor',
            self.processes,
        )

    def kill(self) -> float:
        """Kill it; return the moment, by the monotonic clock."""
        found = self.processes.pids()
        moment = time.monotonic()
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        self.processes.stop()
        return moment

    def stop(self) -> None:
        """End it, if it was started."""
        if self.processes is not None:
            self.processes.stop()

    def attempts(self, images: list[str]) -> dict[str, int]:
        """Return the newest attempt that it began at each of these images."""
        found = re.findall(r'of image ([0-9a-f-]{36}): attempt (\d+)', self._read())
        return {image_id: int(number) for image_id, number in found if image_id in images}

    def _read(self) -> str:
        return self._log.read_text(errors='replace')


def main() -> None:
    """Run the kills and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--kills', type=int, default=30)
    parser.add_argument('--lease', type=float, default=5.0, help='seconds')
    parser.add_argument('--database', help='URL of an empty database; default: SQLite')
    options = parser.parse_args()
    resumed: list[float] = []
    seen: list[float] = []
    with tempfile.TemporaryDirectory() as name, dripping_source() as source:
        folder = Path(name)
        port = free_port()
        conf = folder / 'glance-api.conf'
        database = options.database or f'sqlite:///{folder}/db.sqlite'
        conf.write_text(
            CONF.format(port=port, folder=folder, database=database, lease=options.lease)
        )
        config = ['--config-file', str(conf)]
        sync = [PROGRAMS / 'glance-lite-manage', *config, 'db', 'sync']
        subprocess.run(sync, check=True, capture_output=True)
        pair = [Conductor(conf, folder / f'conductor-{number}.log') for number in (1, 2)]
        api = ServiceProcesses([str(PROGRAMS / 'glance-lite-api'), *config], folder / 'api.log')
        try:
            client = Client(port, '')
            wait_until(client.answers, START_SECONDS, 'the API', api)
            for conductor in pair:
                conductor.start()
            for _ in range(options.kills):
                figures = kill_once(client, pair, source, options.lease)
                resumed += figures[0]
                seen += figures[1]
                print('.', end='', flush=True)
        finally:
            api.stop()
            for conductor in pair:
                conductor.stop()
    print(f'\nlease {options.lease:g} s, {len(resumed)} imports whose conductor was killed')
    report('the next attempt begins', resumed, options.lease)
    report('its owner sees it', seen, options.lease)


def kill_once(
    client: Client, pair: list[Conductor], source: str, lease: float
) -> tuple[list[float], list[float]]:
    """Kill one of the conductors; return the seconds to the next attempts, and until seen."""
    images = [client.create_image(f'recovery {number}') for number in range(IMPORTS)]
    for image_id in images:
        client.start_import(image_id, {'name': 'web-download', 'uri': source})
    wait(lambda: sum(len(each.attempts(images)) for each in pair) == IMPORTS)
    time.sleep(random.uniform(0, 2 * lease))
    victim, other = random.sample(pair, 2)
    lost = list(victim.attempts(images))
    moment = victim.kill()
    resumed: dict[str, float] = {}
    seen: dict[str, float] = {}
    while len(seen) < len(lost):
        for image_id, number in other.attempts(lost).items():
            if number > 1:
                resumed.setdefault(image_id, time.monotonic() - moment)
        for image_id in resumed:
            if image_id not in seen and attempt_shown(client, image_id) > 1:
                seen[image_id] = time.monotonic() - moment
        time.sleep(POLL_SECONDS)
    for image_id in images:
        client.call('DELETE', f'/v2/images/{image_id}')
    victim.start()
    return list(resumed.values()), list(seen.values())


def attempt_shown(client: Client, image_id: str) -> int:
    """Return which attempt the owner is told of."""
    task = client.call('GET', f'/v2/images/{image_id}/tasks')['tasks'][-1]
    return (task['progress'] or {}).get('attempt') or 0


def report(what: str, seconds: list[float], lease: float) -> None:
    """Print one line of figures."""
    ordered = sorted(seconds)
    figures = {
        'min': ordered[0],
        'median': quantile(ordered, 0.5),
        'p95': quantile(ordered, 0.95),
        'max': ordered[-1],
    }
    parts = (f'{name} {value:.2f} s ({value / lease:.2f})' for name, value in figures.items())
    print(f'{what}: {", ".join(parts)}; in leases in brackets')


def quantile(ordered: list[float], share: float) -> float:
    """Return the value that ``share`` of the sorted values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def wait(ready) -> None:
    """Wait until ``ready()`` is true.

    :raises RuntimeError: it does not come true.
    """
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError('the imports did not begin')
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def dripping_source() -> Iterator[str]:
    """Serve on loopback; give the URL."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), DrippingHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}/image.raw'
    finally:
        server.shutdown()
        server.server_close()


if __name__ == '__main__':
    main()
