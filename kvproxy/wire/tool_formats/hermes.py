"""Hermes, as Qwen 2.5 and 3 and many others write: ``<tool_call>`` around a JSON object, one for each call."""

from __future__ import annotations

from collections.abc import Sequence

from kvproxy.core import Tool, ToolCall
from kvproxy.wire.tool_formats.base import ToolParser, overlap
from kvproxy.wire.tool_formats.json_call import JsonCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class HermesParser(ToolParser):
    """Parses Hermes. Tolerates a missing closing mark and a missing outer brace: the arguments are whole then."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        super().__init__(tools)
        self._state = self._in_prose
        self._call = JsonCall(eager=True)
        self._raw = ""
        self._begun = False

    def _step(self) -> bool:
        return bool(self._buffer) and self._state()

    def _in_prose(self) -> bool:
        if not self._say_until(OPEN):
            return False
        self._call, self._raw, self._begun, self._state = JsonCall(eager=True), OPEN, False, self._in_call
        return True

    def _in_call(self) -> bool:
        read = self._take(self._call.push(self._buffer))
        self._raw += "" if self._begun else read
        if self._call.announced and not self._begun:
            self._begun = True
            self._begin(self._call.name or "")
        self._argue(self._call.take())
        if self._call.done:
            self._state = self._behind_call
        elif self._call.broken and not self._begun:
            self._say(self._raw)
            self._state = self._in_prose
        elif self._call.broken:
            self._state = self._behind_call if self._call.complete else self._in_broken
        return bool(self._buffer)

    def _in_broken(self) -> bool:
        """Read behind the name of a call that broke before its arguments were whole."""
        found = self._buffer.find(CLOSE)
        if found < 0:
            self._argue(self._take(len(self._buffer) - overlap(self._buffer, CLOSE)))
            return False
        self._argue(self._take(found))
        self._state = self._behind_call
        return True

    def _behind_call(self) -> bool:
        rest = self._buffer.lstrip()
        if CLOSE.startswith(rest):
            if rest != CLOSE:
                return False
            self._take(len(self._buffer))
        elif rest.startswith(CLOSE):
            self._take(len(self._buffer) - len(rest) + len(CLOSE))
        self._state = self._in_prose
        return True

    def _flush(self) -> None:
        if self._state == self._in_call and not self._begun:
            self._say(self._raw)
        elif self._state == self._in_call:
            self._argue(self._call.rest())
        elif self._state == self._in_broken:
            self._argue(self._take(len(self._buffer)))
        elif self._state == self._in_prose:
            self._say(self._take(len(self._buffer)))


def write(calls: Sequence[ToolCall]) -> str:
    """Write calls as the model itself would."""
    return "\n".join(
        f'{OPEN}\n{{"name": "{call.name}", "arguments": {call.arguments}}}\n{CLOSE}' for call in calls
    )
