"""Handlers of Anthropic's ``POST /v1/messages`` and ``/v1/messages/count_tokens``."""

from __future__ import annotations

import uuid

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.server.answers.local_answer import stream, whole
from kvproxy.server.answers.upstream_answer import serve_upstream
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.middleware.request_id import request_id_of
from kvproxy.server.requests.receive_conversation import receive_conversation
from kvproxy.wire.anthropic.message_answer import MessageHead, message, warmed_message
from kvproxy.wire.anthropic.message_stream import MessageStream
from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages, thinking_shown, warms_only
from kvproxy.wire.anthropic.types import TokenCount


async def create(request: web.Request) -> web.StreamResponse:
    """Answer a message, whole or streamed, by the local model or an upstream's."""
    incoming = await receive_conversation(request)
    if not incoming.local:
        return await serve_upstream(request, "messages", incoming)
    clock = incoming.clock
    asked = await incoming.parsed(parse_messages, request.app[COMPONENTS].policy)
    head = MessageHead(f"msg_{uuid.uuid4().hex}", incoming.model, thinking_shown(incoming.body))
    if asked.stream:
        encoder = MessageStream(head, request_id=request_id_of(request))
        return await stream(request, asked, head.id, clock, encoder)
    warms = warms_only(incoming.body)
    answers = await whole(request, asked, head.id, clock, silent=warms)
    if warms:
        answer = warmed_message(head, answers.usage)
    else:
        answer = message(head, answers.choices[0], answers.usage)
    return json_response(answer, headers=dict(answers.headers))


async def count_tokens(request: web.Request) -> web.StreamResponse:
    """Count the input tokens that ``create`` would count, of all three kinds together."""
    incoming = await receive_conversation(request)
    if not incoming.local:
        raise InvalidRequest(
            f"Tokens are counted only for models whose KV is managed here; '{incoming.model}' is an upstream's, which "
            "alone can count its tokens.",
            param="model",
        )
    components = request.app[COMPONENTS]
    asked = await incoming.parsed(parse_count, components.policy)
    prompt = await components.served(incoming.model).compose(asked, request[CALLER])
    count: TokenCount = {"input_tokens": len(prompt.token_ids)}
    return json_response(count)
