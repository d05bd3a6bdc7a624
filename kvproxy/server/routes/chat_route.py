"""The handler of ``POST /v1/chat/completions``."""

from __future__ import annotations

import time
import uuid

from aiohttp import web

from kvproxy.server.answers.local_answer import stream, whole
from kvproxy.server.answers.upstream_answer import serve_upstream
from kvproxy.server.components import COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.receive_conversation import receive_conversation
from kvproxy.wire.chat.chat_response import ChatHead, ChatStream, completion
from kvproxy.wire.chat.parse_chat import parse_chat


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a chat completion, whole or streamed, by a served model or an upstream's."""
    components = request.app[COMPONENTS]
    incoming = await receive_conversation(request)
    if not incoming.local:
        return await serve_upstream(request, "chat/completions", incoming)
    chat = await incoming.parsed(parse_chat, served_name=incoming.model, policy=components.policy)
    functions = bool(incoming.body.get("functions")) and not incoming.body.get("tools")
    custom = frozenset(tool.name for tool in chat.tools if tool.form == "custom")
    head = ChatHead(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), incoming.model, functions, custom)
    if chat.stream:
        encoder = ChatStream(head, include_usage=chat.include_usage)
        return await stream(request, chat, head.id, incoming.clock, encoder)
    answers = await whole(request, chat, head.id, incoming.clock)
    return json_response(completion(head, answers.choices, answers.usage), headers=dict(answers.headers))
