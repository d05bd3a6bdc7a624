"""`reordered_at`: recognises JSON with the same content in another order of its keys or of its named objects. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_DECODER = json.JSONDecoder()
_BRACKET = re.compile(r"[\[\]{}]")
_OPENINGS = 8
"""Enclosing brackets at which a value is tried."""
MOST = 1 << 16
"""Characters of a value that is parsed, and in front of a difference that are looked through for its beginning."""


def reordered_at(sent: str, other: str, position: int) -> bool:
    """Return whether the JSON around the texts' first difference, at ``position``, is the same data in another order.

    That is a value that encloses it, with its keys or its objects of a list in another order, or a block of lines that
    are one object each, as chat templates list tools.

    Example:
        ``reordered_at('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 2)``
    """
    for start in _openings(sent, position):
        one, two = _value(sent, start), _value(other, start)
        if one is not None and two is not None and canonical(one) == canonical(two):
            return True
    return _same_lines(_block(sent, position), _block(other, position))


def canonical(value: Any) -> str:
    """Return a JSON value as text in which neither keys nor the objects of a list have an order.

    Lists of anything else keep theirs: the order of numbers and words is content.
    """
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":"))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list):
        items = [_sorted(item) for item in value]
        if items and all(isinstance(item, dict) for item in items):
            return sorted(items, key=lambda item: json.dumps(item, ensure_ascii=False))
        return items
    return value


def _openings(text: str, position: int) -> Iterator[int]:
    """Yield the places of brackets before ``position`` that enclose it, the innermost first. Brackets inside of strings
    count too: a wrong place is no value, or one that does not enclose it."""
    start = max(0, position - MOST)
    closed = yielded = 0
    for match in reversed(list(_BRACKET.finditer(text, start, position))):
        if match[0] in "}]":
            closed += 1
        elif closed:
            closed -= 1
        elif yielded < _OPENINGS:
            yielded += 1
            yield match.start()


def _value(text: str, start: int) -> Any:
    try:
        return _DECODER.raw_decode(text[start : start + MOST])[0]
    except (ValueError, RecursionError):
        return None


_LINE = re.compile(r"[^\n]*")


def _block(text: str, position: int) -> list[str]:
    """Return the objects in the lines around ``position``, each in its canonical form; none where that line is no
    object."""
    start = text.rfind("\n", 0, position) + 1
    while start > 0 and _object(_line(text, before := text.rfind("\n", 0, start - 1) + 1)) is not None:
        start = before
    found: list[str] = []
    while (item := _object(_line(text, start))) is not None:
        found.append(canonical(item))
        end = text.find("\n", start)
        if end < 0:
            break
        start = end + 1
    return found


def _line(text: str, start: int) -> str:
    match = _LINE.match(text, start)
    return match[0] if match else ""


def _object(line: str) -> Any:
    """Return the object that a line holds; None where it holds none, or more text."""
    stripped = line.strip().rstrip(",")
    if not stripped.startswith("{") or len(stripped) > MOST:
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _same_lines(one: list[str], two: list[str]) -> bool:
    return len(one) > 1 and one != two and sorted(one) == sorted(two)
