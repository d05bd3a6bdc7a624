"""`Escape`: keeps client text from acting as a control token or as template input.

Before rendering, the first character of every control token (``<`` in most models) is replaced, wherever a client
wrote it, by a private stand-in; known documents are replaced whole by a placeholder, and the ends of prefixes that
the client marked get one without width. After rendering, the only control strings left are the template's own.
Replacing single characters rather than whole control strings also covers a string that a template would assemble out
of two contents.

The stand-ins are Unicode noncharacters U+FDD0 to U+FDEF; in client text they are escaped themselves.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kvproxy.errors import InvalidRequest, SetupError

_ESCAPE, _SLOT = "\ufdd0", "\ufdd1"
_DIGITS = "\ufdd2\ufdd3\ufdd4\ufdd5"
_MARK = "\ufdd6"
_FIRST_STAND_IN, _LAST = 0xFDD7, 0xFDEF
RESERVED = re.compile("[\ufdd0-\ufdef]")
_VARIABLES = "chat_template_kwargs"
_PLACEHOLDER = re.compile(f"([{_SLOT}{_MARK}])([{_DIGITS}]+)\\1")

# Templates split an assistant's earlier message at these, so there they keep their meaning.
_ASSISTANT_MARKS = re.compile("(</?think>|</?tool_call>)")


@dataclass(frozen=True, slots=True)
class Stop:
    """A mark in a region, behind ``offset`` characters of the region's text number ``text``."""

    mark: int
    text: int
    offset: int


@dataclass(frozen=True, slots=True)
class Segments:
    """A region cut at its placeholders: ``n + 1`` restored texts around ``n`` slot indices."""

    texts: list[str]
    slots: list[int]
    stops: list[Stop]


class Escape:
    """One model's stand-ins. ``text`` and ``restore`` undo each other exactly."""

    def __init__(self, control: Collection[str]) -> None:
        firsts = sorted({text[0] for text in control})
        if len(firsts) > _LAST - _FIRST_STAND_IN + 1:
            raise SetupError(
                "this tokenizer's control tokens start with too many different characters; use another model"
            )
        self._stand_ins = {first: chr(_FIRST_STAND_IN + i) for i, first in enumerate(firsts)}
        self._originals = {stand_in: first for first, stand_in in self._stand_ins.items()}
        stand_ins = "".join(self._originals)
        coded = f"{_ESCAPE}([{_DIGITS}]{{3}})"
        self._coded = re.compile(f"{coded}|([{stand_ins}])" if stand_ins else coded)

    def text(self, text: str) -> str:
        """Escape client text, so that the template cannot mistake it for its own."""
        if not text.isascii():
            text = RESERVED.sub(lambda m: _ESCAPE + _number(ord(m[0]) - ord(_ESCAPE), width=3), text)
        for first, stand_in in self._stand_ins.items():
            text = text.replace(first, stand_in)
        return text

    def assistant(self, text: str) -> str:
        """Escape as ``text`` does, but keep ``<think>`` and ``<tool_call>`` marks."""
        parts = _ASSISTANT_MARKS.split(text)
        return "".join(part if i % 2 else self.text(part) for i, part in enumerate(parts))

    def variables(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Escape every string in a request's template variables. Raises InvalidRequest."""
        return {
            check_unicode(name, _VARIABLES): self.value(value, _VARIABLES) for name, value in values.items()
        }

    def value(self, value: Any, param: str) -> Any:
        """Escape every string in a JSON value, keys included. Raises InvalidRequest."""
        try:
            return self._value(value, param)
        except RecursionError as e:
            raise InvalidRequest(f"{param} is nested too deeply", param=param) from e

    def _value(self, value: Any, param: str) -> Any:
        if isinstance(value, str):
            return self.text(check_unicode(value, param))
        if isinstance(value, Mapping):
            return {self.text(check_unicode(str(k), param)): self._value(v, param) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(v, param) for v in value]
        return value

    def restore(self, text: str) -> str:
        """Return the text that the client wrote. Placeholders must have been taken out before."""
        if text.isascii():
            return text
        return self._coded.sub(self._original, text)

    def _original(self, match: re.Match[str]) -> str:
        return chr(ord(_ESCAPE) + _parse(match[1])) if match[1] else self._originals[match[2]]

    def slot(self, index: int) -> str:
        """Return the placeholder of a known document."""
        return f"{_SLOT}{_number(index)}{_SLOT}"

    def mark(self, index: int) -> str:
        """Return a placeholder without width, for the end of a prefix that the client marked."""
        return f"{_MARK}{_number(index)}{_MARK}"

    def segments(self, region: str) -> Segments:
        """Cut ``region`` at its placeholders and restore the texts between them."""
        pieces = _PLACEHOLDER.split(region)
        found = Segments([self.restore(pieces[0])], [], [])
        for kind, digits, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            if kind == _SLOT:
                found.slots.append(_parse(digits))
                found.texts.append(self.restore(text))
            else:
                found.stops.append(Stop(_parse(digits), len(found.texts) - 1, len(found.texts[-1])))
                found.texts[-1] += self.restore(text)
        return found


def check_unicode(text: str, param: str, begin: int = 0) -> str:
    """Return ``text``, which begins at character ``begin`` of the client's own.

    Raises InvalidRequest for half a surrogate pair, which JSON can carry and UTF-8 cannot.

    Example:
        ``question = check_unicode(body["content"], "messages")``
    """
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as e:
            raise InvalidRequest(
                f"Invalid text: character {begin + e.start} is half a surrogate pair (U+{ord(text[e.start]):04X}).",
                param=param,
            ) from e
    return text


def _number(value: int, width: int = 1) -> str:
    digits = ""
    while value or len(digits) < width:
        value, digit = divmod(value, 4)
        digits = _DIGITS[digit] + digits
    return digits


def _parse(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 4 + _DIGITS.index(digit)
    return value
