"""Boolean query parameters, and the ways in which a client asks for an event stream."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import InvalidRequest

SWITCH = ("true", "false", "1", "0", "yes", "no")
"""Values of a boolean query parameter."""


def wants_events(request: web.Request) -> bool:
    """Return whether the client asks for an event stream. Raises InvalidRequest."""
    return is_true(request, "stream") or "text/event-stream" in request.headers.get("Accept", "")


def is_true(request: web.Request, name: str) -> bool:
    """Return a boolean query parameter, False by default. Raises InvalidRequest for other values."""
    value = request.query.get(name, "false").lower()
    if value not in SWITCH:
        raise InvalidRequest(f"Invalid '{name}': must be true or false.", param=name)
    return value in ("true", "1", "yes")
