# SPDX-License-Identifier: Apache-2.0
"""Show phases and bytes on standard error: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from glance_lite.client import text

_BAR_CELLS = 20
_LEAST_BAR_CELLS = 5
#: The longest figures beside a bar: share, size, rate and time left.
_FIGURE_CELLS = len('100% of 999.9 MiB  999.9 MiB/s  0:59:59 left')
_NAME_CELLS = 22
_REDRAW_SECONDS = 0.1
_ERASE_LINE = '\r\x1b[K'


class Display:
    """One phase at a time. A phase that ends leaves a line behind; a running one is redrawn.

    :param stream: where to write.
    :param live: whether a line may be redrawn, as on a terminal.
    :param clock: seconds that only grow.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._live = stream.isatty() if live is None else live
        self._clock = clock
        self._phase: str | None = None
        self._passing = False
        self._done: int | None = None
        self._total: int | None = None
        self._started = 0.0
        self._drawn = -_REDRAW_SECONDS

    def note(self, sentence: str) -> None:
        """Write a line of its own; a running phase goes on below it."""
        self._write(sentence + '\n')
        if self._phase is not None:
            self._draw()

    def update(self, phase: str, done: int | None = None, total: int | None = None) -> None:
        """Show how far a phase is, in bytes. Another phase than before ends the one before."""
        self._enter(text.clean(phase, 80), passing=False)
        self._done, self._total = done, total
        if self._clock() - self._drawn >= _REDRAW_SECONDS:
            self._draw()

    def wait(self, reason: str) -> None:
        """Show that nothing can be seen yet, and why. It leaves no line behind."""
        self._enter(reason, passing=True)
        self._done = self._total = None
        if self._clock() - self._drawn >= _REDRAW_SECONDS:
            self._draw()

    def end_phase(self, failed: bool = False) -> None:
        """End the running phase, if any, with a line that stays."""
        if self._phase is not None and not self._passing:
            self._leave(self._phase, self._done, self._clock() - self._started, failed)
        elif self._phase is not None:
            self._write('')
        self._phase = None

    def record(self, phase: str, done: int | None, seconds: float) -> None:
        """Leave the line of a phase that is over, with figures that somebody else measured.

        A running phase is replaced by it: it was this one, or a wait for it.
        """
        self._phase = None
        self._leave(text.clean(phase, 80), done, seconds, failed=False)

    def _enter(self, phase: str, *, passing: bool) -> None:
        if phase == self._phase and passing == self._passing:
            return
        self.end_phase()
        self._phase, self._passing, self._started = phase, passing, self._clock()
        self._drawn = -_REDRAW_SECONDS

    def _leave(self, phase: str, done: int | None, seconds: float, failed: bool) -> None:
        what = 'failed' if failed else 'done'
        if done:
            what = f'failed at {text.size(done)}' if failed else text.size(done)
            if seconds >= 0.05:
                what += f' in {text.span(seconds)}, {text.rate(done / seconds)}'
        elif seconds >= 0.5:
            what += f' in {text.span(seconds)}'
        self._write(f'  {phase:<{_NAME_CELLS}} {what}\n')

    def _draw(self) -> None:
        if not self._live or self._phase is None:
            return
        self._drawn = self._clock()
        width = shutil.get_terminal_size().columns - 1
        self._write(self._running_line(width)[:width])

    def _running_line(self, width: int) -> str:
        """Return the line; the bar takes what is left of ``width`` cells, or goes first."""
        name = f'  {self._phase:<{_NAME_CELLS}} '
        seconds = self._clock() - self._started
        if not self._done or not self._total:
            moved = f'{text.size(self._done)}, ' if self._done else ''
            return f'{name}{moved}{text.span(seconds)}'
        share = min(1.0, self._done / self._total)
        rest = f'{int(share * 100):3}% of {text.size(self._total)}'
        if seconds >= 0.2:
            speed = self._done / seconds
            left = max(0, self._total - self._done) / speed
            rest += f'  {text.rate(speed)}  {text.span(left)} left'
        room = width - len(name) - _FIGURE_CELLS - 3
        if room < _LEAST_BAR_CELLS:
            return name + rest
        cells = min(_BAR_CELLS, room)
        full = int(share * cells)
        return f'{name}[{"#" * full}{"-" * (cells - full)}] {rest}'

    def _write(self, letters: str) -> None:
        self._stream.write((_ERASE_LINE if self._live else '') + letters)
        self._stream.flush()
