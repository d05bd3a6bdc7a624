"""The shape of an agent's request: every field and its kind, with texts as their lengths and schemas as their sizes.

For the fixtures of ``tests/server/requests``, which are shortened by hand: no vendor's texts are copied.
"""

from __future__ import annotations

from typing import Any

KEPT = frozenset(
    "type role model mode object name effort tool_choice namespace summary verbosity ttl keep".split()
)
"""Fields that keep their text in the shape."""
SHORT = 48


def shape_of(value: Any, field: str = "") -> Any:
    """Return ``{"characters": 1200}`` for a text, ``{"schema": 3}`` for a JSON schema of three properties."""
    if isinstance(value, dict):
        if field in ("parameters", "input_schema", "schema"):
            return {"schema": len(value.get("properties") or {})}
        return {name: shape_of(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape_of(item, field) for item in value]
    if isinstance(value, str) and not (field in KEPT and len(value) <= SHORT):
        return {"characters": len(value)}
    return value
