"""Llama 3.1 and later: the whole answer is ``{"name": …, "parameters": {…}}``, several joined by ``;``."""

from __future__ import annotations

from collections.abc import Sequence

from kvproxy.core import Tool, ToolCall
from kvproxy.wire.tool_formats.base import ToolParser
from kvproxy.wire.tool_formats.json_call import JsonCall

PYTHON_TAG = "<|python_tag|>"


class Llama3JsonParser(ToolParser):
    """Parses Llama 3's JSON. An answer that starts otherwise is text to its end, and so is JSON that is no call."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        super().__init__(tools)
        self._state = self._at_start
        self._call = JsonCall(eager=False)
        self._raw = ""
        self._begun = False

    def _step(self) -> bool:
        return bool(self._buffer) and self._state()

    def _at_start(self) -> bool:
        """Read before the first call; text before it is not shown once it is one."""
        rest = self._buffer.lstrip()
        if PYTHON_TAG.startswith(rest) and rest != PYTHON_TAG:
            return False
        behind = rest.removeprefix(PYTHON_TAG).lstrip()
        if not behind:
            return False
        return self._maybe_call(len(self._buffer) - len(behind))

    def _between(self) -> bool:
        """Read behind a call: another one, or text."""
        rest = self._buffer.lstrip()
        behind = rest.removeprefix(";").lstrip()
        if not behind:
            return False
        return self._maybe_call(len(self._buffer) - len(behind))

    def _maybe_call(self, skipped: int) -> bool:
        if self._buffer[skipped] != "{":
            self._state = self._in_prose
            return True
        self._raw = self._take(skipped)
        self._call, self._begun, self._state = JsonCall(eager=False), False, self._in_call
        return True

    def _in_call(self) -> bool:
        read = self._take(self._call.push(self._buffer))
        self._raw += "" if self._begun else read
        if self._call.announced and not self._begun:
            self._begun = True
            self._begin(self._call.name or "")
        self._argue(self._call.take())
        if self._call.done:
            self._state = self._between
        elif self._call.broken and not self._begun:
            self._say(self._raw)
            self._state = self._in_prose
        elif self._call.broken:
            self._state = self._between if self._call.complete else self._in_broken
        return bool(self._buffer)

    def _in_broken(self) -> bool:
        self._argue(self._take(len(self._buffer)))
        return False

    def _in_prose(self) -> bool:
        self._say(self._take(len(self._buffer)))
        return False

    def _flush(self) -> None:
        if self._state == self._in_call and not self._begun:
            self._say(self._raw)
        elif self._state == self._in_call:
            self._argue(self._call.rest())
        elif self._state == self._at_start:
            self._say(self._take(len(self._buffer)))


def write(calls: Sequence[ToolCall]) -> str:
    """Write calls as the model itself would."""
    return "; ".join(f'{{"name": "{call.name}", "parameters": {call.arguments}}}' for call in calls)
