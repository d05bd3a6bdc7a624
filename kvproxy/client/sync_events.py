"""Server-sent events read as JSON objects, without an event loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kvproxy.client.request_failed import RequestFailed


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Split at line feeds only: httpx's own splitter also cuts at U+2028, which JSON may contain."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in whole)


def event_objects(chunks: Iterator[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each event as (name, JSON object); comments are skipped.

    Raises `RequestFailed` for an event that is no JSON object. Example: ``dict(event_objects(response.iter_bytes()))``.
    """
    name, data = "message", ""
    for line in _lines(chunks):
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield name, _event_object(data)
            name, data = "message", ""


def _event_object(data: str) -> dict[str, Any]:
    """Return the object. Raises `RequestFailed` for another value: something else than a kvproxy answered."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RequestFailed(f"an event is no JSON object: {data[:80]!r}; is there a kvproxy at this address?")
    return value
