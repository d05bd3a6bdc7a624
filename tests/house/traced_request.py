"""One chat completion over HTTP, streamed, on the fake backend: the stays of its way through the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .places import first_attribute
from .stays import Stay, StayTracer, stays

BODY = {
    "model": "fake",
    "messages": [{"role": "user", "content": "hello"}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 1,
}
"""One token, so that nothing is gone through twice but the events that every answer has."""


def trace_request() -> dict[str, list[Stay]]:
    """By lane: the stays of one request; a request before it has filled the memos."""
    return asyncio.run(_traced())


async def _traced() -> dict[str, list[Stay]]:
    make_proxy: Callable[[], Any] = first_attribute("tests.server.doubles:make_proxy")
    client_of: Callable[[Any], Any] = first_attribute("tests.server.doubles:client_of")
    tracer = StayTracer("kvproxy")
    async with client_of(make_proxy()) as client:
        await _ask(client)
        with tracer.running():
            await _ask(client)
    lanes = [lane for lane in tracer.lanes.values() if lane.moves]
    return {f"{i}: {lane.name}": stays(lane, lane.moves) for i, lane in enumerate(lanes)}


async def _ask(client: Any) -> None:
    response = await client.post("/v1/chat/completions", json=BODY)
    text = await response.text()
    assert response.status == 200 and "data: [DONE]" in text, text
