"""``POST /v1/chat/completions``."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from kvproxy.core import ChatRequest, Event, Finished, TextDelta
from kvproxy.errors import InvalidRequest, ModelNotFound
from kvproxy.pipeline import Reply, Timings
from kvproxy.server.body import read_body
from kvproxy.server.errors import json_response
from kvproxy.server.parts import CALLER, PARTS
from kvproxy.server.sse import SseStream
from kvproxy.wire import sse
from kvproxy.wire.cache_status import BYPASS, cache_status, early_status, server_timing
from kvproxy.wire.chat import parse_chat
from kvproxy.wire.chat_response import ChatChunks, ChatHead, completion
from kvproxy.wire.json_text import decode_object


async def chat_completions(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    clock = Timings()
    with clock.waiting():
        raw = await read_body(request)
    with clock.measure("parse"):
        body = decode_object(raw)
        model = _model(body)
        chat = parse_chat(body, served_name=model) if model == parts.served_name else None
    if chat is not None:
        head = ChatHead(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), model)
        answer = _stream if chat.stream else _whole
        return await answer(request, chat, head, clock)
    if model in parts.pipeline.upstreams():
        return await _upstream(request, body)
    raise ModelNotFound(model)


async def _whole(
    request: web.Request, chat: ChatRequest, head: ChatHead, clock: Timings
) -> web.StreamResponse:
    reply = await request.app[PARTS].pipeline.chat(chat, request[CALLER], head.id, clock)
    async with aclosing(reply.events):
        with clock.waiting():
            text, finished = await _collect(reply.events)
    answer = completion(head, text, finished.reason, finished.usage)
    return json_response(answer, headers=_reply_headers(reply))


async def _stream(
    request: web.Request, chat: ChatRequest, head: ChatHead, clock: Timings
) -> web.StreamResponse:
    parts = request.app[PARTS]
    chunks = ChatChunks(head, chat.include_usage)

    def early() -> dict[str, str]:
        return {"Cache-Status": early_status(clock.decision)}

    async with SseStream(request, interval_s=parts.keepalive_s, early=early) as stream:
        reply = await parts.pipeline.chat(chat, request[CALLER], head.id, clock)
        async with aclosing(reply.events):
            headers = _reply_headers(reply)
            if not await stream.start(headers):
                await stream.send(
                    b"".join(sse.comment(f"{name}: {value}") for name, value in headers.items())
                )
            await stream.send(sse.event(chunks.role()))
            async for event in reply.events:
                if isinstance(event, TextDelta):
                    await stream.send(sse.event(chunks.text(event.text)))
                elif isinstance(event, Finished):
                    await stream.send(_ending(chunks, event))
    return stream.response


async def _upstream(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    parts = request.app[PARTS]
    headers = {"Cache-Status": BYPASS}
    if not isinstance(body.get("stream", False), bool | None):
        raise InvalidRequest("Invalid 'stream': must be a boolean.", param="stream")
    if not body.get("stream"):
        return json_response(await parts.pipeline.upstream(body), headers=headers)
    async with SseStream(request, interval_s=parts.keepalive_s, early=lambda: headers) as stream:
        async with aclosing(parts.pipeline.upstream_stream(body)) as chunks:
            async for chunk in chunks:
                await stream.start(headers)
                await stream.send(sse.event(chunk))
        await stream.start(headers)
        await stream.send(sse.DONE)
    return stream.response


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if model is None or model == "":
        raise InvalidRequest("You must provide a model parameter.", param="model")
    if not isinstance(model, str):
        raise InvalidRequest("Invalid 'model': must be a string.", param="model")
    return model


async def _collect(events: AsyncGenerator[Event, None]) -> tuple[str, Finished]:
    text: list[str] = []
    async for event in events:
        if isinstance(event, TextDelta):
            text.append(event.text)
        elif isinstance(event, Finished):
            return "".join(text), event
    raise RuntimeError("a generation ended without its final event")


def _ending(chunks: ChatChunks, finished: Finished) -> bytes:
    usage = sse.event(chunks.usage(finished.usage)) if chunks.include_usage else b""
    return sse.event(chunks.finish(finished.reason)) + usage + sse.DONE


def _reply_headers(reply: Reply) -> dict[str, str]:
    return {
        "Cache-Status": cache_status(reply.decision, reply.started, exact=reply.exact),
        "Server-Timing": server_timing(reply.timings.report(reply.started)),
    }
