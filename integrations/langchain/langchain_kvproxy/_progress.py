"""`ProgressLine`: one line on a terminal with the progress of a publish."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_EVERY_S = 0.1


class ProgressLine:
    """A line of ``stream`` that is rewritten in place; where that is no terminal, a line for each document."""

    def __init__(self, total: int | None, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._done = 0
        self._width = 0
        self._drawn = float("-inf")

    def tokens(self, id: str, done: int, total: int) -> None:
        """Show the progress of a document's prefill, in tokens.

        Example:
            `line.tokens("handbook", 512, 3774)`
        """
        now = time.monotonic()
        if self._terminal and now - self._drawn >= _EVERY_S:
            self._drawn = now
            self._draw(f"{self._at(self._done + 1)} {id}: {done:,} of {total:,} tokens")

    def document(self, id: str, outcome: str) -> None:
        """Show the outcome of a document."""
        self._done += 1
        line = f"{self._at(self._done)} {id}: {outcome}"
        if self._terminal:
            self._draw(line)
        else:
            self._stream.write(line + "\n")

    def end(self, summary: str) -> None:
        """Show the summary of the run and end the line."""
        if self._terminal:
            self._draw(summary)
        else:
            self._stream.write(summary)
        self._stream.write("\n")
        self._stream.flush()

    def _at(self, number: int) -> str:
        return f"[{number}/{self._total}]" if self._total is not None else f"[{number}]"

    def _draw(self, line: str) -> None:
        shown = line[:100]
        self._stream.write("\r" + shown.ljust(self._width))
        self._stream.flush()
        self._width = len(shown)


def progress_line(wanted: bool | None, total: int | None) -> ProgressLine | None:
    """Make a progress line if it is ``wanted``; None as ``wanted`` stands for: when stderr is a terminal."""
    return ProgressLine(total) if wanted or (wanted is None and sys.stderr.isatty()) else None
