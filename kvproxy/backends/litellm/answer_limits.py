"""Bounds of one upstream's answer, and the count of the part that has arrived. Pure.

The readers above (openai's and litellm's) join the lines of an event one by one and then build an object for each of
its values, all on the event loop: an event costs them its lines times its bytes, and its values times microseconds.
So the number of lines and values is bounded too, not only the size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import httpx

MIB = 2**20


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """In bytes, but for ``joined`` (lines times bytes) and the values (objects and arrays), each some 60
    microseconds of the event loop's time."""

    whole: int = 32 * MIB
    """A whole answer. Embeddings of 2,048 inputs are 17 MiB in base64, a picture of a model's is up to 10."""
    stream: int = 64 * MIB
    """All events of a stream: litellm keeps the objects that it has built of them to the end."""
    event: int = 2 * MIB
    """From one blank line to the next; the last event of a response repeats the whole of it, tools included."""
    joined: int = 32 * MIB
    values: int = 50_000
    event_values: int = 10_000
    error: int = 64 * 1024
    """An answer with an error status."""

    def of_errors(self) -> AnswerLimits:
        """Return the limits of an answer with an error status."""
        return replace(self, whole=self.error, stream=self.error)


class AnswerOverLimit(httpx.RemoteProtocolError):
    """The upstream sends more than :class:`AnswerLimits` allows. ``told`` is for the client: no byte of the answer."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.told = told


Unit = Literal["whole", "event", "line", "frame"]
"""The unit in which an answer is read: at once, from one blank line to the next, line by line, or in frames with
lengths of their own."""

_ENDS = {"event": re.compile(rb"\n\n|\r\r|\r\n\r\n"), "line": re.compile(rb"[\r\n]")}


class AnswerMeter:
    """Counts one answer as it comes."""

    def __init__(self, limits: AnswerLimits, *, unit: Unit = "whole") -> None:
        self._limits = limits
        self._unit = unit
        self._ends = _ENDS.get(unit)
        self._most = limits.whole if unit == "whole" else limits.stream
        self._total = 0
        self._tail = b""
        self._bytes = 0
        self._lines = 0
        self._values = 0

    def add(self, piece: bytes) -> None:
        """Count ``piece``. Raises AnswerOverLimit. It should be small (16 KiB): an event within one is not looked
        at."""
        self._total += len(piece)
        if self._total > self._most:
            raise AnswerOverLimit(f"The upstream's answer is larger than {self._most / MIB:g} MiB.")
        if self._ends is None:
            self._grow(piece)
            return
        seen = self._tail + piece
        ends = [m.end() for m in self._ends.finditer(seen)]
        if ends:
            self._grow(seen[len(self._tail) : ends[0]])
            self._bytes = self._lines = self._values = 0
            piece = seen = seen[ends[-1] :]
        self._grow(piece)
        self._tail = seen[-3:]

    def _grow(self, piece: bytes) -> None:
        """More of the unit that has not ended yet."""
        if self._unit == "frame":
            return
        limits = self._limits
        self._bytes += len(piece)
        self._lines += piece.count(b"\n") + piece.count(b"\r")
        self._values += piece.count(b"{") + piece.count(b"[")
        most = limits.values if self._unit == "whole" else limits.event_values
        if self._values > most:
            raise AnswerOverLimit(f"The upstream's answer has more than {most} objects and arrays at once.")
        if self._unit != "whole" and self._bytes > limits.event:
            raise AnswerOverLimit(f"The upstream sent an event of more than {limits.event / MIB:g} MiB.")
        if self._unit != "whole" and self._bytes * self._lines > limits.joined:
            raise AnswerOverLimit("The upstream sent an event of too many lines.")
