"""`receive_conversation`: a request with a conversation, read as any other, and where its documents are to stand."""

from __future__ import annotations

from aiohttp import web

from kvproxy.server.requests.read_request import Incoming, receive
from kvproxy.wire.answers.placement_header import PLACEMENT
from kvproxy.wire.bodies.placement_body import PLACEMENT_FIELD


async def receive_conversation(request: web.Request) -> Incoming:
    """Read a request as ``receive`` does. The header ``x-kvproxy-placement`` counts where the local model's body has no
    ``kv_placement``; an upstream's body stays as it is.

    Raises as ``receive`` does.
    """
    incoming = await receive(request)
    asked = request.headers.get(PLACEMENT)
    if incoming.local and asked is not None and incoming.body.get(PLACEMENT_FIELD) is None:
        incoming.body[PLACEMENT_FIELD] = asked.strip().lower()
    return incoming
