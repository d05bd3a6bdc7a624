"""``POST /v1/messages`` and ``/v1/messages/count_tokens``, Anthropic's API."""

from __future__ import annotations

import uuid

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.server.answers.local_answer import stream, whole
from kvproxy.server.answers.upstream_answer import serve_upstream
from kvproxy.server.components import CALLER, PARTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.middleware.request_id import request_id_of
from kvproxy.server.requests.request_head import receive
from kvproxy.wire.anthropic.message_answer import MessageHead, message, warmed
from kvproxy.wire.anthropic.message_stream import MessageStream
from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages, thinking_shown, warms_only
from kvproxy.wire.anthropic.types import TokenCount


async def create(request: web.Request) -> web.StreamResponse:
    incoming = await receive(request)
    if not incoming.local:
        return await serve_upstream(request, "messages", incoming)
    clock = incoming.clock
    asked = await incoming.parsed(lambda: parse_messages(incoming.body, request.app[PARTS].policy))
    head = MessageHead(f"msg_{uuid.uuid4().hex}", incoming.model, thinking_shown(incoming.body))
    if asked.stream:
        encoder = MessageStream(head, request_id=request_id_of(request))
        return await stream(request, asked, head.id, clock, encoder)
    answers = await whole(request, asked, head.id, clock)
    if warms_only(incoming.body):
        told = warmed(head, answers.usage)
    else:
        told = message(head, answers.choices[0], answers.usage)
    return json_response(told, headers=dict(answers.headers))


async def count_tokens(request: web.Request) -> web.StreamResponse:
    """Exactly what ``create`` would count as input, of all three kinds."""
    incoming = await receive(request)
    if not incoming.local:
        raise InvalidRequest(
            f"Tokens are counted for the local model only; '{incoming.model}' is served by an upstream, whose "
            "tokens only the upstream can count.",
            param="model",
        )
    parts = request.app[PARTS]
    asked = await incoming.parsed(lambda: parse_count(incoming.body, parts.policy))
    prompt = await parts.pipeline.compose_async(asked, request[CALLER])
    count: TokenCount = {"input_tokens": len(prompt.token_ids)}
    return json_response(count)
