from __future__ import annotations

from typing import Any

import pytest

from kvproxy.errors import Overloaded, ShuttingDown, UpstreamError
from tests.server.doubles import Http, client_of, eventually, make_proxy
from tests.wire.anthropic.events import events_in, message_of

MESSAGES = "/v1/messages"
TEXT = "The handbook says. " * 40
TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
CALL = 'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


def ask(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "fake", "max_tokens": 50, "messages": [{"role": "user", "content": content}], **fields}


async def told(http: Http, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the whole message, streamed or not."""
    response = await http.post(MESSAGES, json=asked)
    assert response.status == 200, await response.text()
    if asked.get("stream"):
        return message_of(events_in(await response.read()))
    message: dict[str, Any] = await response.json()
    return message


@pytest.mark.parametrize("stream", [False, True])
async def test_a_message(stream: bool) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        proxy.backend.say_next("Good day to you.")
        message = await told(http, ask(stream=stream))
    assert message["id"].startswith("msg_")
    assert message["content"] == [{"type": "text", "text": "Good day to you."}]
    assert (message["stop_reason"], message["model"], message["role"]) == ("end_turn", "fake", "assistant")
    assert message["usage"]["output_tokens"] == 4


async def test_a_prompt_is_kept_and_nothing_said() -> None:
    async with client_of(make_proxy()) as http:
        warmed = await told(http, ask(TEXT, max_tokens=0))
        asked = await told(http, ask(TEXT))
    assert (warmed["content"], warmed["stop_reason"], warmed["stop_sequence"]) == ([], "max_tokens", None)
    assert warmed["usage"]["output_tokens"] == 0
    kept = warmed["usage"]["cache_creation_input_tokens"] + warmed["usage"]["input_tokens"]
    assert asked["usage"]["cache_read_input_tokens"] > 0.9 * kept > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hit_is_counted_apart_from_what_was_sent(stream: bool) -> None:
    async with client_of(make_proxy()) as http:
        published = await http.post("/kv/v1/documents", json={"id": "handbook", "text": TEXT})
        assert published.status == 201
        system = [{"type": "kv_document", "document": "handbook@1", "cache_control": {"type": "ephemeral"}}]
        asked = ask("why?", system=system, stream=stream)
        counted = await http.post(f"{MESSAGES}/count_tokens", json=asked)
        total = (await counted.json())["input_tokens"]
        response = await http.post(MESSAGES, json=asked)
        message = message_of(events_in(await response.read())) if stream else await response.json()
    usage = message["usage"]
    assert usage["cache_read_input_tokens"] == 1 + len(TEXT)
    inputs = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert sum(usage[name] for name in inputs) == total
    assert response.headers["Cache-Status"].startswith('kvproxy; hit; key="handbook@1"')
    assert response.headers["request-id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("case", ["miss", "hit", "explicit", "collapsed"])
async def test_a_stream_counts_the_prompt_at_its_start_as_at_its_end(case: str) -> None:
    proxy = make_proxy()
    marked = [
        {"type": "text", "text": "short", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": TEXT},
    ]
    asked = ask(marked if case == "explicit" else TEXT, stream=True)
    if case == "explicit":
        asked["prompt_cache_options"] = {"mode": "explicit"}
    async with client_of(proxy) as http:
        if case == "hit":
            await http.post(MESSAGES, json=asked)
        proxy.backend.collapsed = case == "collapsed"
        counted = await http.post(f"{MESSAGES}/count_tokens", json=asked)
        total = (await counted.json())["input_tokens"]
        events = events_in(await (await http.post(MESSAGES, json=asked)).read())
    start = events[0]["message"]["usage"]
    [end] = [e["usage"] for e in events if e["type"] == "message_delta"]
    split = [start[x] for x in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    assert split == [
        end[x] for x in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    ]
    assert sum(split) == total
    assert (split[2] > 0) == (case == "hit")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_round_trip(stream: bool) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        proxy.backend.say_next(CALL)
        first = await told(http, ask(tools=TOOLS, stream=stream))
        use = first["content"][1]
        assert first["stop_reason"] == "tool_use" and use["id"].startswith("toolu_")
        assert (use["name"], use["input"]) == ("weather", {"city": "Rome"})
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": "rain"}
        history = [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [result]},
        ]
        proxy.backend.say_next("It rains.")
        second = await told(http, {**ask(tools=TOOLS, stream=stream), "messages": history})
    assert second["content"][0]["text"] == "It rains." and second["stop_reason"] == "end_turn"
    assert second["usage"]["cache_read_input_tokens"] > 0


async def test_a_forced_call_is_a_constraint() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
        message = await told(http, ask(tools=TOOLS, tool_choice=choice))
    constraint = proxy.backend.generations[-1].constraint
    assert constraint is not None and constraint.choice.names == ("weather",) and not constraint.parallel
    assert message["stop_reason"] == "tool_use" and message["content"][0]["name"] == "weather"


async def test_errors_before_the_first_byte_are_what_clients_retry() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        for error, status, kind in (
            (Overloaded("busy", retry_after_s=3), 429, "rate_limit_error"),
            (ShuttingDown("down", retry_after_s=3), 529, "overloaded_error"),
        ):
            proxy.backend.fail_next(error)
            response = await http.post(MESSAGES, json=ask(stream=True))
            assert response.status == status and response.headers["Retry-After"] == "3"
            assert (await response.json())["error"]["type"] == kind


async def test_a_stream_that_breaks_says_so() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        proxy.backend.fail_next(RuntimeError("secret"), after_words=2)
        response = await http.post(MESSAGES, json=ask(stream=True), headers={"x-request-id": "mine"})
        events = events_in(await response.read())
    assert [e["type"] for e in events[-2:]] == ["content_block_delta", "error"]
    assert events[-1]["error"]["type"] == "api_error" and events[-1]["request_id"] == "mine"
    assert "secret" not in str(events)


async def test_a_slow_prefill_is_pinged() -> None:
    proxy = make_proxy(keepalive_s=0.01, start_delay_s=0.1)
    async with client_of(proxy) as http:
        response = await http.post(MESSAGES, json=ask(stream=True))
        events = events_in(await response.read())
    kinds = [e["type"] for e in events]
    assert kinds[0] == "ping" and kinds.index("message_start") > 1
    assert message_of(events[kinds.index("message_start") :])["stop_reason"] == "end_turn"


async def test_a_client_that_leaves_frees_the_engine() -> None:
    proxy = make_proxy(token_delay_s=0.01)
    async with client_of(proxy) as http:
        response = await http.post(MESSAGES, json=ask(stream=True))
        await response.content.readany()
        response.close()
        await eventually(lambda: not proxy.backend.running)


async def test_other_models_are_asked_through_the_same_endpoint_and_not_counted() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        sent = {**ask(), "model": "gpt-far", "unknown": {"field": [1]}}
        response = await http.post(MESSAGES, json=sent)
        assert response.status == 200 and proxy.misses.bodies[-1] == sent
        proxy.misses.fail_next(UpstreamError("theirs", status=503, retry_after_s=2))
        failed = await http.post(MESSAGES, json=sent)
        assert failed.status == 529 and failed.headers["Retry-After"] == "2"
        counted = await http.post(f"{MESSAGES}/count_tokens", json=sent)
        assert counted.status == 400 and "gpt-far" in (await counted.json())["error"]["message"]
        unknown = await http.post(f"{MESSAGES}/count_tokens", json={**sent, "model": "nobody"})
        assert unknown.status == 404
