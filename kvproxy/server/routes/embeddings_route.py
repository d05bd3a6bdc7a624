"""The handler of ``POST /v1/embeddings``, for upstream models only."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.server.answers.upstream_answer import serve_upstream
from kvproxy.server.requests.read_request import receive


async def embeddings(request: web.Request) -> web.StreamResponse:
    """Pass an embedding request on to its upstream. Raises InvalidRequest for the local model."""
    incoming = await receive(request)
    if incoming.local:
        raise InvalidRequest(
            f"The model `{incoming.model}` generates text and makes no embeddings. Name an embedding model "
            "that is configured as an upstream.",
            param="model",
        )
    return await serve_upstream(request, "embeddings", incoming)
