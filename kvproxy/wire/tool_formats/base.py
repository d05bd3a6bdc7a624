"""The base of every tool format's parser: the buffer, the text around calls, the events."""

from __future__ import annotations

import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.core import Tool
from kvproxy.events import ToolCallDelta

NAME = r"[A-Za-z0-9_./:@-]"
"""A character of a function's name. The providers' own APIs stop at letters, digits, ``_`` and ``-``; adapters for MCP
servers and agents also send dots, slashes and colons, which no format here reads as anything else."""

MOST_NAME = 256
"""Characters in a name: that of a namespace and that of its function, of up to 128 each, are one name here."""

CALLABLE = re.compile(NAME + f"{{1,{MOST_NAME}}}")
"""The pattern of a function's name. A call with another name is no call."""


@dataclass(frozen=True, slots=True)
class Prose:
    """Text that is no call. ``at`` is the place of its first character in all that was pushed."""

    text: str
    at: int


ParsedPiece = Prose | ToolCallDelta


class ToolParser(ABC):
    """Parses the raw text of one choice into prose and calls. Any split of the text gives the same result in the end.

    Policy, the same for all formats: a text that turns out to be no call, before its name was given out, comes out as
    prose, verbatim. A call whose name was given out stays one: the text behind its name is its arguments, verbatim, as
    far as they go, and nothing is closed that the model left open.
    """

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        """Create a parser. ``tools``: for formats without types of arguments."""
        self._tools = {tool.name: tool for tool in tools}
        self._buffer = ""
        self._at = 0
        self._calls = 0
        self._out: list[ParsedPiece] = []
        self._margin = _Margin()

    def push(self, text: str) -> list[ParsedPiece]:
        """Return the pieces that are certain by now. Withholds only a possible beginning of a mark, and layout."""
        self._buffer += text
        while self._step():
            pass
        return self._drain()

    def finish(self) -> list[ParsedPiece]:
        """Return the pieces that were withheld."""
        self._flush()
        self._out += self._margin.end()
        return self._drain()

    @abstractmethod
    def _step(self) -> bool:
        """Read some of the buffer; return False when it has to wait for more."""

    @abstractmethod
    def _flush(self) -> None:
        """Read the rest of the buffer, where the text ends."""

    def _drain(self) -> list[ParsedPiece]:
        out, self._out = self._out, []
        return out

    def _take(self, count: int) -> str:
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        self._at += count
        return taken

    def _say(self, text: str) -> None:
        """Emit ``text`` as prose; it ends where the buffer begins."""
        if text:
            self._out += self._margin.add(text, self._at - len(text))

    def _say_until(self, mark: str) -> bool:
        """Take prose and the mark behind it; return False when all was prose but for a possible beginning of it."""
        found = self._buffer.find(mark)
        if found < 0:
            self._say(self._take(len(self._buffer) - overlap(self._buffer, mark)))
            return False
        self._say(self._take(found))
        self._take(len(mark))
        return True

    def _begin(self, name: str) -> None:
        self._margin.call()
        self._out.append(ToolCallDelta(self._calls, new_call_id(), name))
        self._calls += 1

    def _argue(self, arguments: str) -> None:
        """Emit more arguments of the call that was begun last."""
        if arguments:
            self._out.append(ToolCallDelta(self._calls - 1, arguments=arguments))


class _Margin:
    """White space beside calls is layout: all of it when nothing else stands there, else one line end."""

    def __init__(self) -> None:
        self._held = ""
        self._at = 0
        self._prose = False
        self._called = False

    def add(self, text: str, at: int) -> list[ParsedPiece]:
        if not self._held:
            self._at = at
        text = self._held + text
        self._prose = self._prose or not text.isspace()
        keep = len(text) if not self._prose else 1 if text.endswith("\n") else 0
        return self._say(text, keep)

    def call(self) -> None:
        self._held, self._prose, self._called = "", False, True

    def end(self) -> list[ParsedPiece]:
        return self._say(self._held, 0) if self._prose or not self._called else []

    def _say(self, text: str, keep: int) -> list[ParsedPiece]:
        prose = text[: len(text) - keep]
        self._held = text[len(prose) :]
        pieces: list[ParsedPiece] = [Prose(prose, self._at)] if prose else []
        self._at += len(prose)
        return pieces


def new_call_id() -> str:
    """Return a new random id of a call."""
    return f"call_{uuid.uuid4().hex[:24]}"


def overlap(text: str, mark: str) -> int:
    """Return the number of characters at the end of ``text`` that could be the beginning of ``mark``."""
    for count in range(min(len(text), len(mark) - 1), 0, -1):
        if mark.startswith(text[-count:]):
            return count
    return 0
