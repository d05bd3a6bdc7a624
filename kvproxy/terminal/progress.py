"""Long work shown to a person: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    import rich.progress

LINE_EVERY_S = 5.0


class Progress:
    """``with Progress("publish handbook") as p: p(done, total)``: rate and time left are worked out here.

    May be called from any one thread; writes to stderr, so that stdout stays for results.
    """

    def __init__(
        self,
        what: str,
        *,
        unit: str = "tokens",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._unit = unit
        self._stream = stream or sys.stderr
        self._clock = clock
        self._bar: rich.progress.Progress | None = None
        self._started = self._next_line = 0.0
        self._first: int | None = None
        self._last: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        self._started = self._clock()
        self._next_line = self._started + LINE_EVERY_S
        if self._stream.isatty():
            self._bar = self._make_bar()
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if self._first is None:
            # What was there before the first call cost no time, and would make the rate too good.
            self._first, self._started = (0, self._started) if done < total else (done, now)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)
        elif (done, total) != self._last and (now >= self._next_line or done >= total):
            self._next_line = now + LINE_EVERY_S
            self._last = (done, total)
            print(self._line(done, total, now - self._started), file=self._stream, flush=True)

    def _line(self, done: int, total: int, elapsed: float) -> str:
        rate = (done - (self._first or 0)) / elapsed if elapsed > 0 else 0.0
        line = f"{self._what}: {done}/{total} {self._unit}"
        if rate > 0:
            line += f", {rate:.0f} {self._unit}/s"
            line += f", {(total - done) / rate:.0f} s left" if done < total else f", {elapsed:.1f} s"
        return line

    def _make_bar(self) -> rich.progress.Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar
        from rich.progress import Task as BarTask
        from rich.text import Text

        unit = self._unit

        class Rate(ProgressColumn):
            def render(self, task: BarTask) -> Text:
                return Text(f"{task.speed:.0f} {unit}/s" if task.speed else "")

        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=Console(file=self._stream),
        )
        bar.add_task(self._what, total=None)
        return bar
