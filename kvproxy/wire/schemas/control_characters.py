"""Decides whether control characters may be written in an answer, as ``\\u0001``. Pure.

The library knows them by that spelling alone. Where it is on and an object has free keys beside named ones, it also
takes ``\\u0061`` for a new key beside ``a``, whose value it would then replace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_CONTROLS = re.compile("[\x00-\x07\x0b\x0e-\x1f\x7f]")
"""Without those that have an escape of one letter. JSON may hold U+007F as it is; the library may not."""
_IN_PATTERN = re.compile(r"\\x\{([0-9a-f]{1,2})\}|[\x00-\x1f\x7f]")
_BESIDE = ("properties", "required", "patternProperties")


def controls_allowed(schema: Mapping[str, Any]) -> bool:
    """Return whether no key of an object can be written twice in disguise. ``schema`` is as the library gets it."""
    return not any(
        any(node.get(keyword) for keyword in _BESIDE) and node.get("additionalProperties") is not False
        for node in _schemas(schema)
    )


def needs_controls(schema: Mapping[str, Any]) -> str | None:
    """Return the keyword that demands a control character, which the library would skip silently; None without one."""
    for node in _schemas(schema):
        for keyword in ("const", "enum"):
            if keyword in node and _holds(node[keyword]):
                return keyword
        patterns = [node.get("pattern"), *(node.get("patternProperties") or ())]
        if any(isinstance(p, str) and _asks(p) for p in patterns):
            return (
                "pattern" if isinstance(node.get("pattern"), str) and _asks(node["pattern"]) else _BESIDE[2]
            )
    return None


def _asks(pattern: str) -> bool:
    """Return whether a pattern demands one. In a set they are some of many, and the library leaves them out of it."""
    outside = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", lambda m: m[0] if m[0][0] == "\\" else "", pattern)
    return any(m[1] is None or _CONTROLS.match(chr(int(m[1], 16))) for m in _IN_PATTERN.finditer(outside))


def _holds(value: Any) -> bool:
    return _CONTROLS.search("".join(_texts(value))) is not None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        yield from value
        for item in value.values():
            yield from _texts(item)


def _schemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every schema in one; the values of ``const`` and ``enum`` are none."""
    if isinstance(schema, list):
        for item in schema:
            yield from _schemas(item)
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs", "definitions"):
            for inner in value.values():
                yield from _schemas(inner)
        elif key not in ("const", "enum"):
            yield from _schemas(value)
