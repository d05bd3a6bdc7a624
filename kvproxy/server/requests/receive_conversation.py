"""Requests with a prompt, read as any other, with the headers that stand for a field of their bodies."""

from __future__ import annotations

from aiohttp import web

from kvproxy.server.requests.read_request import Incoming, receive
from kvproxy.wire.answers.placement_header import PLACEMENT
from kvproxy.wire.bodies.placement_body import PLACEMENT_FIELD
from kvproxy.wire.bodies.reuse_body import REUSE_FIELD

REUSE = "x-kvproxy-reuse"
"""Of a request, another place of the field ``kv_reuse``, for clients that cannot add a field. ``Cache-Control:
no-cache`` is not read: browsers and API clients send it unasked, and it would cost their users a miss each time."""


async def receive_prompt(request: web.Request) -> Incoming:
    """Read a request as ``receive`` does. The header ``x-kvproxy-reuse`` counts where the local model's body has no
    ``kv_reuse``; an upstream's body stays as it is.

    Raises as ``receive`` does.
    """
    incoming = await receive(request)
    _stand_in(request, incoming, REUSE, REUSE_FIELD)
    return incoming


async def receive_conversation(request: web.Request) -> Incoming:
    """Read a request as ``receive_prompt`` does; the header ``x-kvproxy-placement`` stands for ``kv_placement`` too.

    Raises as ``receive`` does.
    """
    incoming = await receive_prompt(request)
    _stand_in(request, incoming, PLACEMENT, PLACEMENT_FIELD)
    return incoming


def _stand_in(request: web.Request, incoming: Incoming, header: str, field: str) -> None:
    """Put a header's word into the body (modified) where its field is missing."""
    asked = request.headers.get(header)
    if incoming.local and asked is not None and incoming.body.get(field) is None:
        incoming.body[field] = asked.strip().lower()
