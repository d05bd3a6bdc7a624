"""Mistral: ``[TOOL_CALLS]`` and a JSON array of calls, or since 2025 ``[TOOL_CALLS]name[ARGS]{…}`` for each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvproxy.core import Tool, ToolCall
from kvproxy.wire.tool_formats.base import MOST_NAME, NAME, ToolParser, overlap
from kvproxy.wire.tool_formats.json_call import JsonCall, JsonValue

MARK, ARGS, CALL_ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"

_HEAD = re.compile(rf"\s*({NAME}{{1,{MOST_NAME}}})(?:\[CALL_ID\][A-Za-z0-9_-]*)?(?:\[ARGS\])?\s*(?=[{{])")
_HEAD_BEGINS = re.compile(rf"\s*{NAME}{{0,{MOST_NAME}}}(?:\[CALL_ID\][A-Za-z0-9_-]*)?(?:\[ARGS\])?\s*")


class MistralParser(ToolParser):
    """Parses Mistral's calls, the array and the form with ``[ARGS]``."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        super().__init__(tools)
        self._state = self._in_prose
        self._call = JsonCall(eager=True)
        self._value = JsonValue()
        self._raw = ""
        self._begun = False

    def _step(self) -> bool:
        return bool(self._buffer) and self._state()

    def _in_prose(self) -> bool:
        if not self._say_until(MARK):
            return False
        self._raw, self._state = MARK, self._behind_mark
        return True

    def _behind_mark(self) -> bool:
        rest = self._buffer.lstrip()
        if rest.startswith("["):
            self._raw += self._take(len(self._buffer) - len(rest) + 1)
            self._state = self._before_item
            return True
        head = _HEAD.match(self._buffer)
        if head is not None:
            self._take(head.end())
            self._begin(head[1])
            self._value, self._state = JsonValue(), self._in_arguments
            return True
        if self._head_may_follow():
            return False
        self._not_a_call()
        return True

    def _head_may_follow(self) -> bool:
        """Return whether all of the buffer could be the beginning of a name and of the marks before its arguments."""
        cut = max(overlap(self._buffer, ARGS), overlap(self._buffer, CALL_ID))
        return _HEAD_BEGINS.fullmatch(self._buffer[: len(self._buffer) - cut]) is not None

    def _in_arguments(self) -> bool:
        self._argue(self._take(self._value.push(self._buffer, 0)))
        if self._value.done:
            self._state = self._in_prose
        elif self._value.broken:
            self._state = self._in_broken
        return bool(self._buffer)

    def _before_item(self) -> bool:
        rest = self._buffer.lstrip(" \t\r\n,")
        if not rest:
            return False
        skipped = len(self._buffer) - len(rest)
        if rest[0] == "]":
            mark = self._take(skipped + 1)
            self._raw += mark if self._raw else ""
            self._not_a_call()  # behind a call there is no text left to emit
            return True
        self._raw += self._take(skipped)
        if rest[0] != "{":
            self._not_a_call()
            return True
        self._call, self._begun, self._state = JsonCall(eager=True), False, self._in_item
        return True

    def _in_item(self) -> bool:
        read = self._take(self._call.push(self._buffer))
        self._raw += "" if self._begun else read
        if self._call.announced and not self._begun:
            self._begun = True
            self._begin(self._call.name or "")
        self._argue(self._call.take())
        if self._call.done:
            self._raw, self._state = "", self._before_item
        elif self._call.broken and not self._begun:
            self._not_a_call()
        elif self._call.broken:
            self._raw, self._state = "", self._before_item if self._call.complete else self._in_broken
        return bool(self._buffer)

    def _in_broken(self) -> bool:
        """Read arguments up to the next mark: nothing marks the end of a broken call."""
        found = self._buffer.find(MARK)
        if found < 0:
            self._argue(self._take(len(self._buffer) - overlap(self._buffer, MARK)))
            return False
        self._argue(self._take(found))
        self._state = self._in_prose
        return True

    def _not_a_call(self) -> None:
        self._say(self._raw)
        self._raw, self._state = "", self._in_prose

    def _flush(self) -> None:
        if self._state == self._in_item and self._begun:
            self._argue(self._call.rest())
        elif self._state == self._in_broken:
            self._argue(self._take(len(self._buffer)))
        elif self._state == self._in_prose:
            self._say(self._take(len(self._buffer)))
        elif self._state != self._in_arguments and not (self._state == self._before_item and not self._raw):
            self._say(self._raw + self._take(len(self._buffer)))


def write(calls: Sequence[ToolCall]) -> str:
    """Write calls as the model itself would."""
    items = (f'{{"name": "{call.name}", "arguments": {call.arguments}}}' for call in calls)
    return f"{MARK}[{', '.join(items)}]"
