"""Server-sent events as bytes."""

from __future__ import annotations

from typing import Any

from kvproxy.wire.bodies.json_text import encode

DONE = b"data: [DONE]\n\n"
KEEPALIVE = b": keepalive\n\n"
"""A comment: clients skip it, proxies see traffic."""


def event(value: Any, name: str | None = None, *, finite: bool = False) -> bytes:
    """Encode one event with ``value`` as JSON. JSON text has no line ends, so one ``data:`` line always holds it.

    ``finite``: raises ValueError for NaN and infinities. Example: ``event({"type": "ping"}, "ping")`` returns
    ``b'event: ping\\ndata: {"type":"ping"}\\n\\n'``.
    """
    head = b"" if name is None else b"event: " + name.encode("ascii") + b"\n"
    return head + b"data: " + encode(value, finite=finite) + b"\n\n"


def comment(text: str) -> bytes:
    """Encode a line that clients skip. Line ends in ``text`` become spaces, so it cannot become an event."""
    return b": " + " ".join(text.splitlines()).encode("utf-8", "replace") + b"\n\n"
