from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks.chat import Answer, Refused, open_endpoint, read


async def lines(*events: dict[str, Any] | str, wait_s: float = 0.0) -> AsyncIterator[str]:
    for event in events:
        await asyncio.sleep(wait_s)
        yield event if isinstance(event, str) else f"data: {json.dumps(event)}"


def delta(text: str | None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}], **more}


async def test_the_first_text_counts_not_the_first_event() -> None:
    began = time.perf_counter()
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    events = (delta(""), delta(None), ": ping", delta("a"), "", delta("b"), {"choices": [], "usage": usage})
    answer = await read(lines(*events, "data: [DONE]", wait_s=0.01), began)
    assert answer.text == "ab"
    assert 0.04 <= answer.first_s < answer.last_s < answer.total_s
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (9, 3, 4)
    assert answer.gap_s == (answer.last_s - answer.first_s) / 2


async def test_a_server_may_say_less() -> None:
    answer = await read(lines(delta("a", usage=None)), time.perf_counter())
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (None, None, None)
    assert answer.gap_s is None
    answer = await read(lines(delta("a", usage={"prompt_tokens_details": None})), time.perf_counter())
    assert answer.cached_tokens is None


async def test_what_is_no_answer_is_no_measurement() -> None:
    with pytest.raises(Refused, match=r"error in the stream: .*out of pages"):
        await read(lines(delta("a"), {"error": {"message": "out of pages"}}), 0.0)
    with pytest.raises(Refused, match="no text"):
        await read(lines(delta("")), 0.0)


async def ask(handler: Any, timeout_s: float = 5.0) -> Answer:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app) as server, open_endpoint(str(server.make_url("/v1")), model="m") as endpoint:
        return await endpoint.ask("hi", 4, {}, timeout_s)


async def test_refusals_and_silence() -> None:
    async def refuses(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no such field"}}, status=422)

    async def hangs(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    with pytest.raises(Refused, match=r"status 422: .*no such field"):
        await ask(refuses)
    with pytest.raises(TimeoutError, match="silent"):
        await ask(hangs, 0.05)


async def test_the_model_is_the_first_listed() -> None:
    listed: dict[str, Any] = {"data": [{"id": "one"}, {"id": "two"}]}

    async def models(request: web.Request) -> web.Response:
        return web.json_response(listed)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    async with TestServer(app) as server:
        url = str(server.make_url("/v1"))
        async with open_endpoint(url) as endpoint:
            assert endpoint.model == "one"
        listed["data"] = []
        with pytest.raises(Refused, match="lists no model"):
            await open_endpoint(url).__aenter__()
