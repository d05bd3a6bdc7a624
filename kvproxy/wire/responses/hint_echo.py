"""Hints as a response repeats them. They are accepted in any shape; the response is valid in every case."""

from __future__ import annotations

import json
from typing import Any, TypeVar

_T = TypeVar("_T", bound=str)


def known_or_none(value: Any, *known: _T) -> _T | None:
    """Return the value, where it is one that the specification has."""
    return next((word for word in known if word == value), None)


def text_or_json(value: Any) -> str | None:
    """Return text and null as they are, any other value as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def metadata_echo(metadata: Any) -> dict[str, str]:
    """Return metadata as it came, with JSON for values that are no text."""
    entries = metadata if isinstance(metadata, dict) else {}
    return {key: text_or_json(value) or "" for key, value in entries.items()}
