"""JSON reader for large texts that releases the interpreter between values, so that other threads go on.

``json.loads`` holds the interpreter's lock from the first character to the last: 60 ms for a text of 32 MiB, 200 ms for
a million numbers, while no stream goes on. jiter and pydantic_core are two to three times as fast and hold it as well;
they refuse halves of surrogate pairs, which clients send. Here values are counted too, as they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder
from typing import Any

MOST_DEPTH = 900
"""Containers in each other; about as many as ``json.loads`` takes."""

_PIECE = 1 << 17
"""Characters of a string that are read at once."""
_SPACE = re.compile(r"[ \t\n\r]*+")
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d*+))(\.\d++)?([eE][-+]?\d++)?", re.ASCII)
_PLAIN = re.compile(r'(?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+')
"""Whole characters and escapes of a string. Between two escapes that are one character it may be cut."""
_WORDS = {"null": None, "true": True, "false": False}
_STRINGS = JSONDecoder()
_CONSTANTS = ("NaN", "Infinity", "-Infinity")

Pairs = list[tuple[str, Any]]


class TooManyValues(ValueError):
    """The text holds more values than the reader's limit."""


class PatientReader:
    """Reads one text with ``json.loads``'s hooks, and raises its errors."""

    def __init__(
        self,
        *,
        most_values: int,
        most_containers: int,
        object_pairs_hook: Callable[[Pairs], Any],
        parse_float: Callable[[str], Any],
        parse_constant: Callable[[str], Any],
        parse_int: Callable[[str], Any] = int,
    ) -> None:
        self._values_left = most_values
        self._containers_left = most_containers
        self._object = object_pairs_hook
        self._float = parse_float
        self._constant = parse_constant
        self._int = parse_int

    def read(self, text: str) -> Any:
        """Parse a text.

        Raises JSONDecodeError, RecursionError for deep nesting, TooManyValues, and the hooks' own errors.
        """
        value, end = self._value(text, _space(text, 0))
        end = _space(text, end)
        if end != len(text):
            raise JSONDecodeError("Extra data", text, end)
        return value

    def _value(self, text: str, at: int) -> tuple[Any, int]:
        """Return the value at ``at``, and its end.

        Iterative: open containers stand in ``above``, so depth costs no stack.
        """
        above: list[tuple[list[Any], str | None]] = []
        """Open containers: their items (of an object: pairs), and for an object the name of the next one."""
        while True:
            value, at, opened = self._begin(text, at)
            if opened is not None:
                above.append(opened)
                if len(above) > MOST_DEPTH:
                    raise RecursionError
                continue
            while above:
                items, name = above[-1]
                items.append(value if name is None else (name, value))
                at = _space(text, at)
                sign = text[at : at + 1]
                if sign == ",":
                    if name is None:
                        at = _space(text, at + 1)
                    else:
                        name, at = self._name(text, _space(text, at + 1))
                        above[-1] = (items, name)
                    break
                if sign != ("]" if name is None else "}"):
                    raise JSONDecodeError("Expecting ',' delimiter", text, at)
                at += 1
                value = items if name is None else self._object(items)
                above.pop()
            else:
                return value, at

    def _begin(self, text: str, at: int) -> tuple[Any, int, tuple[list[Any], str | None] | None]:
        """Return a value and its end, or the container that was opened and the begin of its first value."""
        self._values_left -= 1
        if self._values_left < 0:
            raise TooManyValues
        sign = text[at : at + 1]
        if sign == '"':
            return (*_string(text, at + 1), None)
        if sign in ("[", "{") and sign:
            self._containers_left -= 1
            if self._containers_left < 0:
                raise TooManyValues
            inner = _space(text, at + 1)
            if text[inner : inner + 1] == ("]" if sign == "[" else "}"):
                return ([] if sign == "[" else self._object([])), inner + 1, None
            if sign == "[":
                return None, inner, ([], None)
            name, inner = self._name(text, inner)
            return None, inner, ([], name)
        return (*self._scalar(text, at), None)

    def _name(self, text: str, at: int) -> tuple[str, int]:
        """Return a name of an object, and the begin of its value."""
        if text[at : at + 1] != '"':
            raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        name, at = _string(text, at + 1)
        at = _space(text, at)
        if text[at : at + 1] != ":":
            raise JSONDecodeError("Expecting ':' delimiter", text, at)
        return name, _space(text, at + 1)

    def _scalar(self, text: str, at: int) -> tuple[Any, int]:
        for word, value in _WORDS.items():
            if text.startswith(word, at):
                return value, at + len(word)
        number = _NUMBER.match(text, at)
        if number is not None:
            whole, part, power = number.groups()
            if part or power:
                return self._float(number[0]), number.end()
            return self._int(whole), number.end()
        for constant in _CONSTANTS:
            if text.startswith(constant, at):
                return self._constant(constant), at + len(constant)
        raise JSONDecodeError("Expecting value", text, at)


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _string(text: str, begin: int) -> tuple[str, int]:
    """Return the string that begins at ``begin``, behind its opening quote, and the place behind its closing quote."""
    quote = text.find('"', begin, begin + _PIECE)
    if quote >= 0 and text[quote - 1] != "\\":
        whole: tuple[str, int] = _STRINGS.raw_decode(text, begin - 1)
        return whole
    pieces: list[str] = []
    at = begin
    while True:
        found = _PLAIN.match(text, at, at + _PIECE)
        end = at if found is None else found.end()
        closed = text[end : end + 1] == '"'
        if not closed and end == at:
            # Neither a character nor an end: an error of the text at this place.
            raise _fault_at(text, at, begin)
        try:
            piece: str = _STRINGS.decode(f'"{text[at:end]}"')
        except JSONDecodeError as e:
            raise JSONDecodeError(e.msg, text, at + e.pos - 1) from None
        if pieces and _is_half(pieces[-1][-1:], 0xD800) and _is_half(piece[:1], 0xDC00):
            code = 0x10000 + ((ord(pieces[-1][-1]) - 0xD800) << 10) + ord(piece[0]) - 0xDC00
            pieces[-1], piece = pieces[-1][:-1] + chr(code), piece[1:]
        if piece:
            pieces.append(piece)
        at = end
        if closed:
            return "".join(pieces), at + 1


def _is_half(character: str, first: int) -> bool:
    """Return whether a character is the half of a surrogate pair whose codes begin at ``first``."""
    return bool(character) and first <= ord(character) < first + 0x400


def _fault_at(text: str, at: int, begin: int) -> JSONDecodeError:
    """Return json's error for the string's character at ``at``."""
    try:
        _STRINGS.decode(f'"{text[at : at + 12]}"')
    except JSONDecodeError as e:
        if not e.msg.startswith("Unterminated"):
            return JSONDecodeError(e.msg, text, at + e.pos - 1)
    return JSONDecodeError("Unterminated string starting at", text, begin - 1)
