"""Incremental reader of ``{"name": …, "arguments": {…}}``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from kvproxy.wire.tool_formats.base import CALLABLE

ARGUMENTS = ("arguments", "parameters")

_BLANK = " \t\r\n"
_IN_STRING = re.compile(r'[^"\\]+')
_IN_CONTAINER = re.compile(r"[ \t\r\n,:+.0-9A-Za-z_-]+")
_LITERAL = re.compile(r"[+.0-9A-Za-z_-]+")
_CLOSING = {"{": "}", "[": "]"}


class JsonValue:
    """Finds the end of one value by its brackets and quotes. Stops at a character that cannot stand in JSON at all."""

    def __init__(self) -> None:
        self.kind = ""
        """``string``, ``object``, ``array`` or ``literal`` once its first character is known."""
        self.done = False
        self.broken = False
        self._open: list[str] = []
        self._quoted = False
        self._escaped = False

    def push(self, text: str, i: int) -> int:
        """Read ``text`` from ``i``, which is inside of it; return the place where reading stopped."""
        if not self.kind:
            first = {'"': "string", "{": "object", "[": "array"}.get(text[i])
            self.kind = first or "literal"
            self.broken = first is None and _LITERAL.match(text, i) is None
        if self.kind == "literal" and not self.broken:
            match = _LITERAL.match(text, i)
            i = match.end() if match else i
            self.done = i < len(text)
        while i < len(text) and not (self.done or self.broken):
            i = self._in_string(text, i) if self._quoted else self._in_container(text, i)
        return i

    def _in_string(self, text: str, i: int) -> int:
        if self._escaped:
            self._escaped = False
            return i + 1
        if text[i] == "\\":
            self._escaped = True
            return i + 1
        if text[i] == '"':
            self._quoted = False
            self.done = not self._open
            return i + 1
        match = _IN_STRING.match(text, i)
        return match.end() if match else i + 1

    def _in_container(self, text: str, i: int) -> int:
        char = text[i]
        if char == '"':
            self._quoted = True
        elif char in _CLOSING:
            self._open.append(_CLOSING[char])
        elif self._open and char == self._open[-1]:
            self._open.pop()
            self.done = not self._open
        else:
            match = _IN_CONTAINER.match(text, i)
            self.broken = match is None
            return match.end() if match else i
        return i + 1


class JsonCall:
    """Reads one call. ``arguments`` may come before ``name``, and may be JSON inside of a string.

    Other keys are skipped. ``eager``: a name alone makes it a call. Else arguments have to follow, as where any JSON
    may stand.
    """

    def __init__(self, *, eager: bool) -> None:
        self.name: str | None = None
        self.done = False
        """The object is closed, and it is a call."""
        self.broken = False
        """The next character cannot be part of a call."""
        self.complete = False
        """The arguments are whole."""
        self._eager = eager
        self._argued = False
        self._state: Callable[[str, int], int] = self._start
        self._key = ""
        self._value = JsonValue()
        self._text = ""
        self._arguments = ""

    @property
    def announced(self) -> bool:
        """Return whether it is certain that the text is a call."""
        return self.name is not None and (self._eager or self._argued or self.done)

    def take(self) -> str:
        """Return new argument text; none while it is no call yet."""
        if not self.announced:
            return ""
        taken, self._arguments = self._arguments, ""
        return taken

    def rest(self) -> str:
        """Return arguments that were withheld until they would be complete, when the text ends before."""
        return self._text if self._key in ARGUMENTS and not self.complete else ""

    def push(self, text: str) -> int:
        """Read the part that belongs to the object; return its length."""
        i = 0
        while i < len(text) and not (self.done or self.broken):
            if self._state != self._in_value and text[i] in _BLANK:
                i += 1
            else:
                i = self._state(text, i)
        return i

    def _start(self, text: str, i: int) -> int:
        return self._expect(text[i] == "{", i, self._before_key)

    def _before_key(self, text: str, i: int) -> int:
        if text[i] == "}":
            return self._end(text, i)
        self._key, self._text, self._value = "", "", JsonValue()
        self._expect(text[i] == '"', i, self._in_value)
        return i

    def _before_colon(self, text: str, i: int) -> int:
        return self._expect(text[i] == ":", i, self._before_value)

    def _before_value(self, text: str, i: int) -> int:
        self._text, self._value, self._state = "", JsonValue(), self._in_value
        return i

    def _in_value(self, text: str, i: int) -> int:
        end = self._value.push(text, i)
        arguments = self._key in ARGUMENTS and not self.complete
        wrong = arguments and not self._eager and self._value.kind in ("array", "literal")
        self.broken = wrong or self._value.broken
        if arguments and not wrong and self._value.kind in ("object", "array"):
            self._argued = True
            self._arguments += text[i:end]
        else:
            self._text += text[i:end]
        if self._value.done and not self.broken:
            self._value_done()
        return end

    def _value_done(self) -> None:
        if not self._key:
            self._key, self._state = _string(self._text) or "\0", self._before_colon
            return
        self._state = self._after_value
        if self._key == "name" and self.name is None:
            name = _string(self._text) if self._value.kind == "string" else None
            self.broken = name is None or CALLABLE.fullmatch(name) is None
            self.name = None if self.broken else name
        elif self._key in ARGUMENTS and not self.complete:
            self.complete = self._argued = True
            if self._value.kind == "string":
                decoded = _string(self._text)
                self._arguments += self._text if decoded is None else decoded
            elif self._value.kind == "literal":
                self._arguments += "{}" if self._text == "null" else self._text

    def _after_value(self, text: str, i: int) -> int:
        if text[i] == "}":
            return self._end(text, i)
        return self._expect(text[i] == ",", i, self._before_key)

    def _end(self, text: str, i: int) -> int:
        self.done = self.name is not None and (self._eager or self._argued)
        if self.done and not self.complete:
            self._arguments, self.complete = "{}", True
        return self._expect(self.done, i, self._state)

    def _expect(self, met: bool, i: int, state: Callable[[str, int], int]) -> int:
        self.broken = not met
        if met:
            self._state = state
        return i + 1 if met else i


def _string(text: str) -> str | None:
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
