"""The ``type`` of an object of a client's, which may be anything JSON can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def given_type(value: Mapping[str, Any]) -> str | None:
    """The text of ``type``; None where it is no text, which no set or table of types can be asked for."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else None
