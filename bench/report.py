# SPDX-License-Identifier: Apache-2.0
"""Turn the figures of all rounds into one markdown table with ratios and targets; keep tables."""

from __future__ import annotations

import json
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

Figures = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``ratio`` counts as better the larger it is: ours / peer, or peer / ours where
    ``less_is_better``. A target is a least ratio, or a limit of our own figure.
    """

    key: str
    label: str
    digits: int = 0
    less_is_better: bool = False
    least_ratio: float | None = None
    at_most: float | None = None
    least: float | None = None


ROWS = [
    Row('direct_mib_s', 'stage + glance-direct, MiB/s', least_ratio=4),
    Row('direct_stage_mib_s', '… stage alone, MiB/s'),
    Row('direct_active_s', '… POST import → active, s', 2, True, at_most=0.5),
    Row('direct_cpu_s_gib', '… CPU s per GiB', 2, True),
    Row('web_mib_s', 'web-download, MiB/s', least_ratio=3.5),
    Row('web_cpu_s_gib', '… CPU s per GiB', 2, True),
    Row('upload_mib_s', 'PUT file, MiB/s', least_ratio=2),
    Row('upload_cpu_s_gib', '… CPU s per GiB', 2, True),
    Row('download_mib_s', 'GET file, MiB/s', least_ratio=0.8),
    Row('download_cpu_s_gib', '… CPU s per GiB', 2, True),
    Row('many_images_s', '200 imports of 1 MiB, 16 clients, images/s', 1, least_ratio=5),
    Row('many_cpu_ms_image', '… CPU ms per image', 1, True),
    Row('many_failed', '… imports that failed', 0, True, at_most=0),
    Row('tasks_images_s', '200 tasks of 1 MiB, 16 clients, images/s', 1),
    Row('tasks_web_images_s', '… the same by web-download, images/s', 1),
    Row('tasks_ratio', '… tasks to web-download', 2, least=0.9),
    Row('tasks_failed', '… tasks and imports that failed', 0, True, at_most=0),
    Row('memory_idle_mib', 'memory (PSS) of all processes, idle, MiB', 0, True),
    Row('memory_direct_mib', '… peak, stage + glance-direct, MiB', 0, True, at_most=250),
    Row('memory_web_mib', '… peak, web-download, MiB', 0, True, at_most=250),
    Row('slow16_p50_ms', 'GET with 16 slow uploaders, p50 ms', 1, True),
    Row('slow16_p95_ms', '… p95 ms', 1, True, at_most=25),
    Row('slow16_max_ms', '… max ms', 1, True),
    Row('slow16_failed', '… GETs without answer in 5 s, %', 0, True, at_most=0),
    Row('slow16_uploading', '… uploads still going on at the end'),
    Row('slow16_kib_s', '… KiB/s of each uploader', 2),
    Row('slow1000_p50_ms', 'GET with 1,000 slow uploaders, p50 ms', 1, True),
    Row('slow1000_p95_ms', '… p95 ms', 1, True, at_most=25),
    Row('slow1000_max_ms', '… max ms', 1, True),
    Row('slow1000_failed', '… GETs without answer in 5 s, %', 0, True, at_most=0),
    Row('slow1000_uploading', '… uploads still going on at the end'),
    Row('slow1000_kib_s', '… KiB/s of each uploader', 2),
]


def keep(kind: str, text: str, figures: object) -> None:
    """Print a text, and write it and the figures, as JSON, into ``results/``."""
    stamp = time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())
    path = Path(__file__).resolve().parent / 'results' / f'{kind}-{stamp}.md'
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{text}\n')
    path.with_suffix('.json').write_text(json.dumps(figures, indent=1))
    print(f'\n{text}\n\nwritten to {path}')


def table(figures: Figures, names: dict[str, str]) -> str:
    """Return the table of medians.

    :param figures: service key → row key → one figure a round.
    :param names: service key ("ours", "peer") → its name for the heading.
    """
    lines = [
        f'| | {names["ours"]} | {names["peer"]} | better by | target | met |',
        '| --- | ---: | ---: | ---: | --- | --- |',
    ]
    for row in ROWS:
        ours = _median(figures, 'ours', row.key)
        peer = _median(figures, 'peer', row.key)
        if ours is None and peer is None:
            continue
        ratio = _ratio(row, ours, peer)
        cells = [
            row.label,
            _spread(figures, 'ours', row),
            _spread(figures, 'peer', row),
            '' if ratio is None else f'{ratio:.2f}x',
            *_target(row, ours, ratio),
        ]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _median(figures: Figures, service: str, key: str) -> float | None:
    values = figures.get(service, {}).get(key)
    return statistics.median(values) if values else None


def _spread(figures: Figures, service: str, row: Row) -> str:
    """Show the median and, when there were several rounds, the smallest and the largest."""
    values = figures.get(service, {}).get(row.key)
    if not values:
        return '-'
    if statistics.median(values) == math.inf:
        return 'no answer'
    text = f'{statistics.median(values):,.{row.digits}f}'
    if len(values) > 1 and min(values) != max(values):
        text += f' ({min(values):,.{row.digits}f} to {max(values):,.{row.digits}f})'
    return text


def _ratio(row: Row, ours: float | None, peer: float | None) -> float | None:
    if not ours or not peer or math.inf in (ours, peer):
        return None
    return peer / ours if row.less_is_better else ours / peer


def _target(row: Row, ours: float | None, ratio: float | None) -> tuple[str, str]:
    if row.least_ratio is not None:
        met = '' if ratio is None else ('yes' if ratio >= row.least_ratio else '**no**')
        return f'≥ {row.least_ratio:g}x', met
    if row.at_most is not None:
        met = '' if ours is None else ('yes' if ours <= row.at_most else '**no**')
        return f'≤ {row.at_most:g}', met
    if row.least is not None:
        met = '' if ours is None else ('yes' if ours >= row.least else '**no**')
        return f'≥ {row.least:g}', met
    return '', ''
