# SPDX-License-Identifier: Apache-2.0
"""What conversion costs beside bare qemu-img, and what inspection adds to staging.

It stands alone, in an environment that has the project: no server, no HTTP. Start it by
``python -P``: neighbours of it have the names of libraries. Rounds are interleaved, so that
whatever else runs meets both sides.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from oslo_config import cfg

from glance_lite import configuration, image_data
from glance_lite.image_import.plugins import image_conversion
from glance_lite.inspection import FormatRules, Inspector
from glance_lite.plugin import StagedData
from glance_lite.stores import files
from glance_lite.testing import hostile

MIB = 1 << 20
RULES = FormatRules(vmdk_types=frozenset({'streamoptimized', 'monolithicsparse'}))


class Nothing(Inspector):
    """An inspector that looks at nothing, to measure what looking costs."""

    def eat(self, data: memoryview) -> None:
        return None


def clock(work: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds by the clock, and CPU seconds of this process and its ended children."""
    before, began = os.times(), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - began, os.times()
    return seconds, sum(after[:4]) - sum(before[:4])


def make_disk(folder: Path, gib: int, data_mib: int) -> Path:
    """Make a sparse qcow2 disk of ``gib`` GiB with so many MiB of noise in it."""
    plain, disk = folder / 'plain', folder / 'disk.qcow2'
    noise = random.Random(1)
    with open(plain, 'wb') as file:
        for number in range(data_mib):
            file.seek(number * (gib << 30) // data_mib)
            file.write(noise.randbytes(MIB))
        file.truncate(gib << 30)
    subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', plain, disk], check=True)
    plain.unlink()
    return disk


def conversion(folder: Path, disk: Path, rounds: int) -> None:
    """Print bare qemu-img and the plugin: both with the page cache, neither waits for the disk."""
    conf = cfg.ConfigOpts()
    configuration.load(conf, files=[])
    conf.register_opts(image_conversion.OPTS, group=image_conversion.GROUP)
    plugin = image_conversion.ImageConversion(conf)
    image = SimpleNamespace(disk_format='qcow2', container_format='bare')
    target = folder / 'raw'
    staged = StagedData(str(disk), str(target), lambda count: None)
    command = ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', str(disk), str(target)]
    bare, ours = [], []
    for _ in range(rounds):
        for times, work in (
            (bare, partial(subprocess.run, command, check=True)),
            (ours, partial(plugin.execute, image, staged)),
        ):
            os.sync()
            times.append(clock(work))
            allocated = target.stat().st_blocks * 512 // MIB
            target.unlink()
    for number, unit in enumerate(('s', 'CPU s')):
        one, other = ([time[number] for time in times] for times in (bare, ours))
        print(f'| qemu-img convert | {shown(one)} {unit} | |')
        print(f'| the plugin | {shown(other)} {unit} | {median(other) / median(one):.2f}x |')
    print(f'| space of what it wrote | {allocated} MiB | |')


def inspection(folder: Path, mib: int, rounds: int) -> None:
    """Print the CPU seconds of staging with and without inspection."""
    heads = {'raw': b'', 'qcow2': hostile.qcow2_header(), 'vmdk': hostile.vmdk(footer=True)}
    body = random.Random(2).randbytes(MIB)
    for name, head in heads.items():
        costs: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for looks in costs:
                costs[looks].append(stage(folder / 'staged', head, body, mib, looks))
        least = {looks: min(found) for looks, found in costs.items()}
        added = (least[True] / least[False] - 1) * 100
        print(f'| staging, {name} | {least[False]:.2f} s | {least[True]:.2f} s | {added:+.1f} % |')


def stage(path: Path, head: bytes, body: bytes, mib: int, looks: bool) -> float:
    """Stage some data as the service does; return the CPU seconds."""
    sent = 0

    class Source:
        def readinto(self, buffer: memoryview) -> int:
            nonlocal sent
            if sent == mib * MIB:
                return 0
            data = head.ljust(len(buffer), b'\0') if not sent else memoryview(body)
            count = min(len(buffer), len(data), mib * MIB - sent)
            buffer[:count] = data[:count]
            sent += count
            return count

    # the least that can be asked of it: a footer that is missing is found at the end
    inspector = Inspector() if looks else Nothing()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        return clock(
            lambda: image_data.transfer(
                Source(),
                lambda data: files.write_all(fd, data),
                hash_algo='sha512',
                inspector=inspector,
            )
        )[1]
    finally:
        os.close(fd)


def shown(found: list[float]) -> str:
    """Return the median, and the smallest and largest."""
    return f'{median(found):.2f} ({min(found):.2f} to {max(found):.2f})'


def main() -> None:
    """Measure, and print rows of a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--gib', type=int, default=2, help='virtual size of the disk')
    parser.add_argument('--data-mib', type=int, default=512, help='data in it')
    parser.add_argument('--staged-mib', type=int, default=512, help='data that is staged')
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir='.') as name:
        folder = Path(name).resolve()
        disk = make_disk(folder, args.gib, args.data_mib)
        conversion(folder, disk, args.rounds)
        disk.unlink()
        inspection(folder, args.staged_mib, args.rounds)


if __name__ == '__main__':
    main()
