# SPDX-License-Identifier: Apache-2.0
"""Run the benchmark: this service and its peer in turn, measurement by measurement.

Steps: make data, environments, databases and conf files; for each round and each measurement start
the one service, measure, stop it, then the same for the other; write the table of medians. How a
service is set up and what is measured live in the modules that this one calls.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import import_bench
import memory
import payload
import report
import slow_clients
import transfers
from http_client import UnexpectedAnswer
from measurement import Service, Setting, WrongData
from peer import Peer
from processes import free_port, raise_open_files
from service import GlanceLite
from web_source import WebSource

HERE = Path(__file__).resolve().parent
Measure = Callable[[Service, Setting], dict[str, float]]
MEASURES: dict[str, Measure] = {
    'direct': import_bench.glance_direct,
    'web': import_bench.web_download,
    'upload': transfers.upload,
    'download': transfers.download,
    'many': import_bench.many_small,
    'tasks': import_bench.tasks_and_imports,
    'memory': memory.peak,
    'slow16': slow_clients.few,
    'slow1000': slow_clients.many,
}
NOT_FOR_PEER = {'slow1000', 'tasks'}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Compare glance_lite with Glance 33.0.0.')
    parser.add_argument('--mib', type=int, default=1024, help='size of the large image')
    parser.add_argument('--rounds', type=int, default=3, help='rounds; medians are shown')
    parser.add_argument('--only', action='append', choices=MEASURES, help='may be repeated')
    parser.add_argument('--service', choices=['ours', 'peer'], help='run only this service')
    parser.add_argument('--folder', type=Path, help='where data lies while it runs')
    parser.add_argument('--envs', type=Path, default=HERE / '.envs', help='virtual environments')
    return parser.parse_args()


def measure_once(service: GlanceLite | Peer, measure: Measure, setting: Setting) -> dict | None:
    """Start a service, measure, remove its images and stop it; None when it failed."""
    os.sync()
    service.start()
    try:
        service.processes.settle()
        result = measure(service, setting)
        if service.client(timeout_seconds=2).answers():
            service.client(timeout_seconds=20).delete_all_images()
        return result
    except (OSError, HTTPException, UnexpectedAnswer) as error:
        print(f'  {service.name} failed: {error}', flush=True)
        return None
    finally:
        service.stop()


def run(options: argparse.Namespace, folder: Path) -> tuple[report.Figures, int]:
    """Prepare and measure everything; return the figures and the count of failed measurements."""
    source_port = free_port()
    services = [
        kind(options.envs / kind.key, folder / kind.key, free_port(), source_port)
        for kind in (GlanceLite, Peer)
        if options.service in (None, kind.key)
    ]
    data = payload.make(folder / 'payload', options.mib)
    small = payload.make(folder / 'payload', 1, seed=2)
    figures: report.Figures = defaultdict(lambda: defaultdict(list))
    failed = 0
    for service in services:
        service.prepare()
    with WebSource(source_port, data.path, small.path) as source:
        setting = Setting(data, small, source.url, source.small_url)
        for number in range(options.rounds):
            for name in options.only or MEASURES:
                for service in services:
                    if service.key == 'peer' and name in NOT_FOR_PEER:
                        continue
                    result = measure_once(service, MEASURES[name], setting)
                    failed += result is None
                    shown = {k: round(v, 2) for k, v in (result or {}).items()}
                    print(f'round {number + 1} {name} {service.name}: {shown}', flush=True)
                    for key, value in (result or {}).items():
                        figures[service.key][key].append(value)
    for service in services:
        service.remove()
    return figures, failed


def write(options: argparse.Namespace, figures: report.Figures) -> None:
    """Print the table and write it, and the figures as JSON, into ``results/``."""
    names = {GlanceLite.key: GlanceLite.name, Peer.key: Peer.name}
    title = (
        f'{options.mib} MiB, {options.rounds} rounds, {os.cpu_count()} CPUs, '
        f'Python {platform.python_version()}, Linux {platform.release()}, '
        f'{time.strftime("%Y-%m-%d", time.gmtime())}. '
        'Median (smallest to largest).'
    )
    report.keep('run', f'{title}\n\n{report.table(figures, names)}', figures)


def main() -> int:
    """Run; exit status 1 when any measurement failed."""
    options = parse()
    raise_open_files()
    base = options.folder or HERE / '.work'
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix='run-', dir=base)).resolve()
    try:
        figures, failed = run(options, folder)
    except (RuntimeError, WrongData, subprocess.CalledProcessError) as error:
        print(f'{error}\nkept, with logs: {folder}')
        return 1
    write(options, figures)
    shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == '__main__':
    raise SystemExit(main())
