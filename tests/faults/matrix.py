# SPDX-License-Identifier: Apache-2.0
"""Each fault of the table once, at each of its points, for each method: what becomes of the image.

The answer is written into the documentation, between two marks.
"""

from __future__ import annotations

import csv
import io
import queue
import random
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from glance_lite import exceptions
from tests.faults.clients import ACTIVE, GONE, Client, Image
from tests.faults.disks import Disk, DiskSource, disk_source
from tests.faults.points import ACTIONS, COPY, DELETE, DIRECT, METHODS, POINTS, UPLOAD, WEB, Point
from tests.faults.world import World

PAGE = Path(__file__).resolve().parents[2] / 'doc/source/contributor/faults.rst'
BEGIN, END = '.. matrix: made by the run itself', '.. end of the matrix'
POINTS_BEGIN, POINTS_END = '.. points: made by the run itself', '.. end of the points'
#: Images under way at once.
AT_ONCE = 6

#: Points where no image is worked for.
_FOR_NO_IMAGE = ('heartbeat', 'janitor')

Cell = tuple[str, str, str]


def cells() -> list[Cell]:
    """Return point, method and action of each cell that has an answer."""
    return [
        (point.name, method, action)
        for point in POINTS.values()
        for method in point.methods
        for action in point.actions
    ]


class Matrix:
    """Tries each cell on one world."""

    def __init__(self, world: World, seed: int, methods: Iterable[str] = (*METHODS, COPY)) -> None:
        self.world, self.seed = world, seed
        self._cells = [cell for cell in cells() if cell[1] in methods]
        self.outcomes: dict[Cell, str] = {}
        self.problems: list[str] = []
        self.images: dict[str, Image] = {}
        self._missed: list[Cell] = []

    def run(self) -> None:
        """Try the cells, several at once where faults of others make no difference."""
        with disk_source() as source:
            for hurts, at_once in (('its image', AT_ONCE), ('its process', AT_ONCE), ('all', 1)):
                self._run(source, [cell for cell in self._cells if _hurts(cell) == hurts], at_once)
            # a process that took a fault may have been killed by another before it struck
            missed, self._missed = self._missed, []
            self._run(source, missed, 1)
        for cell in self._missed:
            self.problems.append(f'{cell} did not strike')

    def _run(self, source: DiskSource, todo: list[Cell], at_once: int) -> None:
        work: queue.SimpleQueue[Cell] = queue.SimpleQueue()
        for cell in todo:
            work.put(cell)

        def follow() -> None:
            while True:
                try:
                    cell = work.get_nowait()
                except queue.Empty:
                    return
                self._try(source, cell)

        threads = [threading.Thread(target=follow, daemon=True) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _try(self, source: DiskSource, cell: Cell) -> None:
        point, method, action = cell
        client = Client(self.world, source, random.Random(f'{self.seed}-{len(self.images)}-{cell}'))
        client.meddling = 0.0
        way = UPLOAD if method in (DELETE, COPY) else method
        # so long that what an attempt has done is written, and the next one resumes there
        seconds = 1.5 if method == WEB else 0
        image = client.new_image(way, disk=Disk(client.rng, seconds))
        self.images[image.image_id] = image
        image.tell(f'{action} at {point}')
        if way != method:
            client.bring(image)
            image.method, image.end = (COPY, None) if method == COPY else (way, None)
        armed = self._arm(POINTS[point], action, image)
        try:
            if method == DELETE:
                client.delete(image)
            end = client.bring(image)
            self._wait_for_strike(armed)
            if end != (GONE if method == DELETE else ACTIVE):
                client.complain(image, f'ends as {end}')
        except Exception as error:
            client.complain(image, f'no end: {error!r}')
        armed.unlink(missing_ok=True)
        if not self._has_struck(point, image):
            self._missed.append(cell)
        if image.failures and action in ('kill', 'stop', 'drop') and not _is_failing(point):
            client.complain(image, 'failed, and should have gone on')
        self.outcomes[cell] = outcome(image)
        self.problems += client.problems

    def _arm(self, point: Point, action: str, image: Image) -> Path:
        if _is_failing(point.name):
            last = 'add-locations' if image.method == COPY else 'activate-image'
            self.world.arm(f'begin:{last}', 'raise', image.image_id)
        return self.world.arm(
            point.name,
            action,
            None if point.name in _FOR_NO_IMAGE else image.image_id,
            # the last plugin: the one that puts new data in place of the old
            skip=1 if point.name.endswith(':run-plugin') and 'revert' not in point.name else 0,
        )

    def _has_struck(self, point: str, image: Image) -> bool:
        """Tell whether a fault struck at a point, and for this image if for any."""
        time.sleep(0.3)  # faults are told in a moment
        return any(
            line.get('point') == point
            and (point in _FOR_NO_IMAGE or line.get('image') == image.image_id)
            for line in list(self.world.struck)
        )

    def _wait_for_strike(self, armed: Path) -> None:
        ends_at = time.monotonic() + 10
        while armed.exists() and time.monotonic() < ends_at:
            time.sleep(0.1)


def _hurts(cell: Cell) -> str:
    """Tell whom a fault may concern: its image, imports of its process, or anything else.

    An import goes on when its process is killed, so others can be under way; one that fails in a
    process that is killed may not have failed.
    """
    point, _, action = cell
    if action == 'drop' or POINTS[point].program == 'api' or point in _FOR_NO_IMAGE:
        return 'all'
    if action not in ('kill', 'stop'):
        return 'its image'
    return 'all' if _is_failing(point) else 'its process'


def _is_failing(point: str) -> bool:
    """Tell whether an import must fail to come to a point."""
    return point == 'record' or point.startswith('revert:')


def outcome(image: Image) -> str:
    """Say in a word or two what became of an image."""
    end = {GONE: 'gone', ACTIVE: 'active'}.get(image.end or '', f'WRONG: {image.end}')
    if image.failures and end == 'active':
        return ', '.join(_failure(image, code, status) for code, status in image.failures)
    needed = 2 if image.method in (DIRECT, COPY) else 1
    return 'called again' if end == 'active' and image.calls > needed else end


def _failure(image: Image, code: str, status: str) -> str:
    """Return the code, with the image's status if it is not the one that the guide promises."""
    kept = image.method == DIRECT and not exceptions.IMPORT_ERRORS[code].refused
    promised = 'uploading' if kept else 'queued'
    if image.method == COPY:
        promised = 'active'
    return code if status == promised else f'{code} ({status})'


def render(outcomes: dict[Cell, str]) -> str:
    """Return the matrix as a table of reStructuredText."""
    rows = []
    for point in POINTS.values():
        groups: dict[tuple[str, ...], list[str]] = {}
        for method in point.methods:
            row = [outcomes.get((point.name, method, action), '') for action in ACTIONS]
            groups.setdefault(tuple(row), []).append(method)
        rows += [[point.name, ', '.join(methods), *row] for row, methods in groups.items()]
    return '\n'.join(_table(f'point, method, {", ".join(ACTIONS)}', rows))


def _table(header: str, rows: Iterable[Iterable[str]]) -> list[str]:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    return [
        '.. csv-table::',
        f'   :header: {header}',
        '',
        *(f'   {line}' for line in text.getvalue().splitlines()),
    ]


def render_points() -> str:
    """Return what faults there are, and where, as lists of reStructuredText."""
    lines = []
    for action, what in ACTIONS.items():
        lines += [f'``{action}``', f'    {what[0].upper()}{what[1:]}.']
    rows = ((f'``{point.name}``', point.program, point.what) for point in POINTS.values())
    return '\n'.join([*lines, '', *_table('point, program, what happens there', rows)])


def write(outcomes: dict[Cell, str], page: Path = PAGE) -> None:
    """Put points and matrix into the page, in place of the older ones."""
    text = page.read_text()
    for begin, end, content in (
        (POINTS_BEGIN, POINTS_END, render_points()),
        (BEGIN, END, render(outcomes)),
    ):
        before, rest = text.split(begin, 1)
        text = f'{before}{begin}\n\n{content}\n\n{end}{rest.split(end, 1)[1]}'
    page.write_text(text)


def read(page: Path = PAGE) -> set[Cell]:
    """Return the cells that the page has an answer for."""
    table = page.read_text().split(BEGIN, 1)[1].split(END, 1)[0]
    found = set()
    lines = [line.strip() for line in table.splitlines() if line.startswith('   ')]
    for row in csv.reader(line for line in lines if line and not line.startswith(':')):
        point, methods, *answers = row
        for method in methods.split(', '):
            found |= {
                (point, method, action)
                for action, answer in zip(ACTIONS, answers, strict=True)
                if answer
            }
    return found
