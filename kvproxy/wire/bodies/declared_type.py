"""The ``type`` of a client's object, which may be any JSON value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def declared_type(value: Mapping[str, Any]) -> str | None:
    """Return the text of ``type``; None for any other value, which may be unhashable."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else None
