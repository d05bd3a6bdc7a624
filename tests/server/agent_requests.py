"""Requests of coding agents as recorded on the wire, out of ``requests/*.json``: shapes and sizes, written by
hand.

``{"characters": n}`` stands for a text of that length, ``{"schema": n}`` for the JSON schema of an object with so many
properties.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REQUESTS = Path(__file__).parent / "agent_bodies"
NAMES = sorted(path.stem for path in REQUESTS.glob("*.json"))


def request_of(name: str, *, scale: float = 1.0) -> dict[str, Any]:
    """Return ``path``, ``headers`` and ``body``. ``scale`` is applied to texts of more than 100 characters."""
    found: dict[str, Any] = _filled(
        json.loads((REQUESTS / f"{name}.json").read_text(encoding="utf-8")), scale
    )
    return found


def _filled(value: Any, scale: float) -> Any:
    if isinstance(value, list):
        return [_filled(item, scale) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"characters"}:
        length = value["characters"]
        length = int(length * scale) if length > 100 else length
        return ("words " * (length // 6 + 1))[:length]
    if value.keys() == {"schema"}:
        properties = {f"p{i}": {"type": "string", "description": "One."} for i in range(value["schema"])}
        return {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {key: _filled(item, scale) for key, item in value.items()}
