"""Requests of coding agents as recorded on the wire, sent to their endpoints over the fake model."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from kvproxy.wire.answers.left_out import LEFT_OUT
from tests.server.agent_requests import NAMES, request_of
from tests.server.doubles import Http, Proxy, client_of, make_proxy

CLAUDE, CODEX, KNOWN = "claude_code", "codex", "codex_known_model"


async def events_of(http: Http, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """Return the events of a stream, and the value of its left-out header."""
    response = await http.post(asked["path"], json=asked["body"], headers=asked["headers"])
    text = await response.text()
    assert response.status == 200, text
    datas = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(data) for data in datas if data != "[DONE]"], response.headers.get(LEFT_OUT)


def agent_proxy() -> Proxy:
    return make_proxy(max_context=10**6)


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@pytest.mark.parametrize("name", NAMES)
async def test_every_request_is_answered(name: str) -> None:
    left_out = {CODEX: '"tools[7]: web_search"', KNOWN: '"tools[4]: web_search"'}
    async with client_of(agent_proxy()) as http:
        events, told = await events_of(http, request_of(name))
    assert told == left_out.get(name)
    assert events[-1].get("type") in ("message_stop", "response.completed", None)


async def test_claude_codes_tokens_are_counted() -> None:
    asked = request_of(CLAUDE)
    body = {key: value for key, value in asked["body"].items() if key not in ("max_tokens", "stream")}
    async with client_of(agent_proxy()) as http:
        response = await http.post("/v1/messages/count_tokens?beta=true", json=body)
        assert response.status == 200 and (await response.json())["input_tokens"] > 10_000


async def test_claude_code_calls_a_tool_and_goes_on() -> None:
    proxy, asked = agent_proxy(), request_of(CLAUDE)
    proxy.backend.say_next(call("Read", '{"p0": "a.txt"}'))
    async with client_of(proxy) as http:
        events, _ = await events_of(http, asked)
        [block] = [e["content_block"] for e in events if e["type"] == "content_block_start"]
        assert (block["type"], block["name"]) == ("tool_use", "Read")
        use = {"type": "tool_use", "id": block["id"], "name": "Read", "input": {"p0": "a.txt"}}
        result = {
            "type": "tool_result",
            "tool_use_id": block["id"],
            "content": "text",
            "cache_control": {"type": "ephemeral"},
        }
        asked["body"]["messages"] += [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
        events, _ = await events_of(http, asked)
    assert events[-1]["type"] == "message_stop"


async def turn(http: Http, asked: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    """Return the one call of an answer; append it and its result to the input (modified), as Codex does."""
    events, _ = await events_of(http, asked)
    [item] = events[-1]["response"]["output"]
    asked["body"]["input"] += [item, {**output, "call_id": item["call_id"]}]
    found: dict[str, Any] = item
    return found


async def test_codex_calls_its_sub_agents_and_mcp_servers_by_namespace() -> None:
    proxy, asked = agent_proxy(), request_of(CODEX)
    proxy.backend.say_next(call("mcp__demo__look_up", '{"p0": "x"}'))
    proxy.backend.say_next(call("multi_agent_v1__spawn_agent", '{"p0": "x"}'))
    told = {"type": "function_call_output", "output": [{"type": "input_text", "text": "found"}]}
    async with client_of(proxy) as http:
        calls = [await turn(http, asked, told), await turn(http, asked, told)]
        events, _ = await events_of(http, asked)
    assert [(item["namespace"], item["name"]) for item in calls] == [
        ("mcp__demo", "look_up"),
        ("multi_agent_v1", "spawn_agent"),
    ]
    assert events[-1]["type"] == "response.completed"
    first, second, third = (generation.prompt.token_ids for generation in proxy.backend.generations)
    assert second[: len(first)] == first and third[: len(second)] == second


async def test_codex_searches_for_tools_calls_what_it_found_and_patches() -> None:
    proxy, asked = agent_proxy(), request_of(KNOWN)
    for said in (
        call("tool_search", '{"p0": "mail"}'),
        call("mcp__demo__look_up", '{"q": "x"}'),
        call("apply_patch", '{"input": "*** Begin\\n+\\"a\\"\\n*** End\\n"}'),
    ):
        proxy.backend.say_next(said)
    function = {"type": "function", "name": "look_up", "strict": False, "defer_loading": True}
    namespace = {"type": "namespace", "name": "mcp__demo", "description": "", "tools": [function]}
    found = {"type": "tool_search_output", "status": "completed", "execution": "client", "tools": [namespace]}
    async with client_of(proxy) as http:
        search = await turn(http, asked, found)
        look_up = await turn(http, asked, {"type": "function_call_output", "output": "1"})
        patch = await turn(http, asked, {"type": "custom_tool_call_output", "output": "done"})
        events, _ = await events_of(http, asked)
    assert (search["type"], search["execution"], search["arguments"]) == (
        "tool_search_call",
        "client",
        {"p0": "mail"},
    )
    assert (look_up["namespace"], look_up["name"]) == ("mcp__demo", "look_up")
    assert (patch["type"], patch["input"]) == ("custom_tool_call", '*** Begin\n+"a"\n*** End\n')
    assert events[-1]["type"] == "response.completed"
    prompts = [generation.prompt.token_ids for generation in proxy.backend.generations]
    assert all(later[: len(one)] == one for one, later in pairwise(prompts))
