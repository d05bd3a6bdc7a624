"""Questions to a fake replica over HTTP."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from kvproxy.fake_replica.fake_replica import FakeReplica

PROMPT = list(range(100))


async def ask(http: aiohttp.ClientSession, replica: FakeReplica, **body: Any) -> dict[str, Any]:
    body = {"prompt": PROMPT, "max_tokens": 8, **body}
    async with http.post(f"{replica.url}/v1/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        told: dict[str, Any] = await answer.json()
        return told


async def chunks(http: aiohttp.ClientSession, replica: FakeReplica, **body: Any) -> list[dict[str, Any]]:
    body = {"prompt": PROMPT, "max_tokens": 8, "stream": True, **body}
    async with http.post(f"{replica.url}/v1/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        events = (await answer.text()).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def cached(answer: dict[str, Any]) -> int | None:
    details = answer["usage"]["prompt_tokens_details"]
    return None if details is None else int(details["cached_tokens"])


async def post(replica: FakeReplica, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.post(f"{replica.url}{path}", json=body) as answer:
        if answer.content_type == "text/event-stream":
            events = (await answer.text()).split("\n\n")[:-2]
            return answer.status, [json.loads(event.removeprefix("data: ")) for event in events]
        return answer.status, await answer.json()
