"""Qwen3-Coder: ``<tool_call><function=name><parameter=key>value</parameter>…</function></tool_call>``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kvproxy.core import Tool, ToolCall
from kvproxy.core.finite_json import loads_finite
from kvproxy.wire.tool_formats.base import MOST_NAME, NAME, ToolParser

OPEN, CLOSE = "<tool_call>", "</tool_call>"
PARAMETER, PARAMETER_END, FUNCTION_END = "<parameter=", "</parameter>", "</function>"

_HEAD = re.compile(rf"\s*<function=({NAME}{{1,{MOST_NAME}}})>")
_HEAD_BEGINS = re.compile(rf"\s*(?:<function={NAME}{{0,{MOST_NAME}}})?")


class Qwen3CoderParser(ToolParser):
    """Parses Qwen3-Coder's calls. Each value is given out when it is complete.

    Values have no types here: a tool's schema says which are text; without one, a value that is JSON is JSON.
    """

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        super().__init__(tools)
        self._state = self._in_prose
        self._types: Mapping[str, Any] = {}
        self._count = 0

    def _step(self) -> bool:
        return bool(self._buffer) and self._state()

    def _in_prose(self) -> bool:
        if not self._say_until(OPEN):
            return False
        self._state = self._before_function
        return True

    def _before_function(self) -> bool:
        head = _HEAD.match(self._buffer)
        if head is not None:
            self._take(head.end())
            self._begin(head[1])
            tool = self._tools.get(head[1])
            self._types = (tool.parameters or {}).get("properties") or {} if tool else {}
            self._count, self._state = 0, self._in_function
            return True
        if _HEAD_BEGINS.fullmatch(self._buffer) or "<function=".startswith(self._buffer.lstrip()):
            return False
        self._say(OPEN)
        self._state = self._in_prose
        return True

    def _in_function(self) -> bool:
        rest = self._buffer.lstrip()
        if rest.startswith(PARAMETER):
            return self._parameter(len(self._buffer) - len(rest))
        for end in (FUNCTION_END, CLOSE):
            if rest.startswith(end):
                self._take(len(self._buffer) - len(rest) + len(end))
                self._argue("}" if self._count else "{}")
                self._state = self._behind_function if end == FUNCTION_END else self._in_prose
                return True
        if any(mark.startswith(rest) for mark in (PARAMETER, FUNCTION_END, CLOSE)):
            return False
        self._state = self._in_broken
        return True

    def _parameter(self, skipped: int) -> bool:
        end = self._buffer.find(PARAMETER_END)
        if end < 0:
            return False
        name, _, value = self._buffer[skipped + len(PARAMETER) : end].partition(">")
        self._take(end + len(PARAMETER_END))
        opening = ", " if self._count else "{"
        self._argue(f"{opening}{json.dumps(name, ensure_ascii=False)}: {self._json(name, value)}")
        self._count += 1
        return True

    def _json(self, name: str, value: str) -> str:
        value = value.removeprefix("\n").removesuffix("\n")
        schema = self._types.get(name)
        kind = schema.get("type") if isinstance(schema, Mapping) else None
        if kind != "string":
            try:
                parsed = loads_finite(value)
                if kind is not None or not isinstance(parsed, str):
                    return value.strip()
            except (ValueError, RecursionError):
                pass
        return json.dumps(value, ensure_ascii=False)

    def _in_broken(self) -> bool:
        """Read behind the name of a broken call: nothing separates its arguments from text."""
        self._argue(self._take(len(self._buffer)))
        return False

    def _behind_function(self) -> bool:
        rest = self._buffer.lstrip()
        if CLOSE.startswith(rest) and rest != CLOSE:
            return False
        if rest.startswith(CLOSE):
            self._take(len(self._buffer) - len(rest) + len(CLOSE))
        self._state = self._in_prose
        return True

    def _flush(self) -> None:
        rest = self._take(len(self._buffer))
        if self._state == self._in_prose:
            self._say(rest)
        elif self._state == self._before_function:
            self._say(OPEN + rest)
        elif self._state in (self._in_function, self._in_broken):
            self._argue(rest)


def write(calls: Sequence[ToolCall]) -> str:
    """Write calls as the model itself would."""
    return "\n".join(_call(call) for call in calls)


def _call(call: ToolCall) -> str:
    lines = [OPEN, f"<function={call.name}>"]
    for name, value in json.loads(call.arguments).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += [f"{PARAMETER}{name}>", text, PARAMETER_END]
    return "\n".join([*lines, FUNCTION_END, CLOSE])
