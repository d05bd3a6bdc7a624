"""A client's volatile first line, on every endpoint: two sessions send it differently and give the same prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvproxy.wire.answers.left_out import LEFT_OUT
from kvproxy.wire.bodies.request_reading import ReadingPolicy
from tests.server.doubles import Http, client_of, make_proxy

STABLE = "You are an agent that does what it is asked. " * 20
ASK = {"role": "user", "content": "What?"}


def header(session: str) -> str:
    return f"x-anthropic-billing-header: cc_version=2.1.197.{session}; cc_entrypoint=cli; cch={session};"


def bodies(session: str) -> dict[str, dict[str, Any]]:
    blocks = [{"type": "text", "text": header(session)}, {"type": "text", "text": STABLE}]
    content = [{"type": "input_text", "text": block["text"]} for block in blocks]
    return {
        "/v1/messages": {"model": "fake", "max_tokens": 5, "system": blocks, "messages": [ASK]},
        "/v1/chat/completions": {
            "model": "fake",
            "messages": [{"role": "system", "content": f"{header(session)}\n{STABLE}"}, ASK],
        },
        "/v1/responses": {"model": "fake", "input": [{"role": "developer", "content": content}, ASK]},
    }


async def sent(http: Http, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    response = await http.post(path, json=body)
    assert response.status == 200, await response.text()
    return await response.json(), response.headers.get(LEFT_OUT)


@pytest.mark.parametrize("path", bodies(""))
async def test_the_second_session_hits(path: str) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        _, told = await sent(http, path, bodies("84c")[path])
        again, told_again = await sent(http, path, bodies("500")[path])
    assert told == told_again and told is not None and "client metadata" in told
    one, two = (generation.prompt for generation in proxy.backend.generations)
    assert one.token_ids == two.token_ids and len(one.token_ids) > len(STABLE)
    usage = again["usage"]
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = details["cached_tokens"] if details else usage["cache_read_input_tokens"]
    assert cached > len(STABLE)


async def test_counting_and_tokenizing_see_what_the_model_sees() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        asked = bodies("84c")
        await sent(http, "/v1/messages", asked["/v1/messages"])
        count, _ = await sent(http, "/v1/messages/count_tokens", asked["/v1/messages"])
        tokens, _ = await sent(http, "/tokenize", asked["/v1/chat/completions"])
    (generation,) = proxy.backend.generations
    assert count["input_tokens"] == len(generation.prompt.token_ids)
    assert tuple(tokens["tokens"]) == generation.prompt.token_ids


async def test_the_operators_rules_hold_at_every_door() -> None:
    proxy = make_proxy()
    policy = ReadingPolicy(client_metadata=("build *",), volatile_openings=("date",))
    proxy.components = replace(proxy.components, policy=policy)
    opening = "Build 17\nToday's date: 2026-11-29\n"
    messages = [{"role": "system", "content": opening + STABLE}, ASK]
    system = {"model": "fake", "max_tokens": 5, "system": opening + STABLE, "messages": [ASK]}
    async with client_of(proxy) as http:
        tokens, _ = await sent(http, "/tokenize", {"messages": messages})
        count, _ = await sent(http, "/v1/messages/count_tokens", system)
        doors: dict[str, dict[str, Any]] = {
            "/v1/chat/completions": {"model": "fake", "messages": messages},
            "/v1/messages": system,
            "/v1/responses": {"model": "fake", "instructions": opening + STABLE, "input": "What?"},
        }
        told = [(await sent(http, path, body))[1] for path, body in doors.items()]
    assert told == [
        f'"{where}: client metadata", "{where}: moved: date"'
        for where in ("messages[0].content[0]", "system[0]", "instructions")
    ]
    prompts = {generation.prompt.token_ids for generation in proxy.backend.generations}
    assert prompts == {tuple(tokens["tokens"])} and count["input_tokens"] == tokens["count"]
    text = proxy.composer.decode([token for token in tokens["tokens"] if token < 0x110000])
    assert text.startswith(STABLE) and text.endswith("Today's date: 2026-11-29What?")
