from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import ClientTimeout

from kvproxy.backends.fake.fake_backend import answer_to
from kvproxy.errors import Overloaded, UpstreamError
from tests.server.doubles import Http, Proxy, ask, client_of, eventually, make_proxy

CHAT = "/v1/chat/completions"
TEXT = "The handbook says. " * 40


@asynccontextmanager
async def stock_client(http: Http, key: str = "unused") -> AsyncIterator[openai.AsyncOpenAI]:
    url = str(http.make_url("/v1"))
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        yield client


def expected_answer(proxy: Proxy) -> str:
    return "".join(answer_to(proxy.backend.generations[-1].prompt.token_ids))


async def publish(http: Http) -> None:
    response = await http.post("/kv/v1/documents", json={"id": "handbook", "text": TEXT})
    assert response.status == 201


def handbook(question: str, **fields: Any) -> dict[str, Any]:
    system = [{"type": "kv_document", "document": "handbook@1"}]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"model": "fake", "messages": messages, **fields}


async def events_of(body: str) -> list[Any]:
    lines = [x.removeprefix("data: ") for x in body.split("\n\n") if x.startswith("data: ")]
    return [x if x == "[DONE]" else json.loads(x) for x in lines]


async def test_the_stock_client_gets_an_answer() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http, stock_client(http) as client:
        answer = await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "hello"}], temperature=0
        )
    assert answer.choices[0].message.content == expected_answer(proxy)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


async def test_the_stock_client_streams_the_same_answer() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http, stock_client(http) as client:
        stream = await client.chat.completions.create(
            model="fake",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected_answer(proxy)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-2:] == [None, "stop"]
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.prompt_tokens_details is not None


async def test_the_wire_of_a_stream() -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(CHAT, json=ask(stream=True, max_tokens=2))
        body = await response.text()
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    events = await events_of(body)
    assert [e if e == "[DONE]" else e["choices"][0]["delta"].keys() for e in events] == [
        {"role": None, "content": None}.keys(),
        {"content"},
        {"content"},
        set(),
        "[DONE]",
    ]
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    assert not any("usage" in e for e in events[:-1])


@pytest.mark.parametrize("stream", [False, True])
async def test_headers_tell_a_miss_from_a_hit(stream: bool) -> None:
    async with client_of(make_proxy()) as http:
        cold = await http.post(CHAT, json=ask("x", stream=stream))
        await cold.read()
        assert cold.headers["Cache-Status"] == 'kvproxy; fwd=miss; detail="no-document"'
        await publish(http)
        warm = await http.post(CHAT, json=handbook("why?", stream=stream))
        await warm.read()
    tokens = 1 + len(TEXT)
    assert warm.headers["Cache-Status"] == f'kvproxy; hit; key="handbook@1"; detail="tokens={tokens},exact"'
    timing = {
        x.split(";dur=")[0]: float(x.split(";dur=")[1]) for x in warm.headers["Server-Timing"].split(", ")
    }
    assert list(timing) == ["parse", "compose", "match", "queue", "load", "prefill", "proxy"]
    assert timing["proxy"] >= timing["parse"] + timing["compose"] + timing["match"]


async def test_a_shared_prefill_and_an_engine_that_is_not_exact_are_told() -> None:
    proxy = make_proxy(exact=False)
    proxy.backend.collapsed = True
    async with client_of(proxy) as http:
        response = await http.post(CHAT, json=ask())
    assert response.headers["Cache-Status"] == 'kvproxy; fwd=miss; collapsed; detail="no-document"'


async def test_a_document_that_is_not_there() -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(CHAT, json=handbook("why?"))
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "document_not_found"


async def test_unknown_models_get_openais_404() -> None:
    async with client_of(make_proxy()) as http, stock_client(http) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (ask(messages=[{"role": "robot", "content": "x"}]), "messages[0].role"),
        (ask(temperature="hot"), "temperature"),
        (ask(tools=[{"type": "function"}]), "tools[0].function"),
        (
            ask(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            "messages[0].content[0]",
        ),
        (ask(tool_choice="required"), "tool_choice"),
        ({"messages": []}, "model"),
        ({"model": 7}, "model"),
        ({"model": "gpt-far", "stream": "yes"}, "stream"),
    ],
)
async def test_faults_name_the_field(body: dict[str, Any], param: str) -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(CHAT, json=body)
        error = (await response.json())["error"]
    assert response.status == 400
    assert error["param"] == param
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"model": "\xff"}', b'{"model": "a", "model": "b"}'])
async def test_a_body_that_is_no_json_object(raw: bytes) -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(CHAT, data=raw)
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_engine_busy_is_429_with_retry_after_streamed_or_not() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        for stream in (False, True):
            proxy.backend.fail_next(Overloaded("256 requests are waiting.", retry_after_s=3))
            response = await http.post(CHAT, json=ask(stream=stream))
            assert response.status == 429
            assert response.headers["Retry-After"] == "3"
            assert "x-should-retry" not in response.headers
            assert (await response.json())["error"]["code"] == "engine_busy"


async def test_too_long_a_context_has_both_numbers() -> None:
    async with client_of(make_proxy(max_context=100)) as http:
        response = await http.post(CHAT, json=ask("x" * 200))
        error = (await response.json())["error"]
    assert error["code"] == "context_length_exceeded"
    assert "100 tokens" in error["message"] and "203 in the messages" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_midway_frees_its_generation(stream: bool) -> None:
    proxy = make_proxy(token_delay_s=0.05)
    async with client_of(proxy) as http:
        request = http.post(CHAT, json=ask(stream=stream), timeout=ClientTimeout(total=0.2))
        with pytest.raises(TimeoutError):
            response = await request
            await response.read()
        await eventually(lambda: not proxy.backend.running, within_s=0.4)
    assert len(proxy.backend.generations) == 1


async def test_a_client_that_leaves_before_the_first_token_frees_its_generation() -> None:
    proxy = make_proxy()
    proxy.backend.gate = asyncio.Event()
    async with client_of(proxy) as http:
        with pytest.raises(TimeoutError):
            await http.post(CHAT, json=ask(stream=True), timeout=ClientTimeout(total=0.1))
        await eventually(lambda: not proxy.backend.running)
        assert proxy.backend.holds == 0


async def test_a_failure_after_the_first_byte_is_an_error_event() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http, stock_client(http) as client:
        proxy.backend.fail_next(RuntimeError("secret detail"), after_words=2)
        response = await http.post(CHAT, json=ask(stream=True))
        *chunks, last = await events_of(await response.text())
        assert response.status == 200 and len(chunks) == 3
        assert last["error"]["type"] == "server_error" and "secret" not in last["error"]["message"]
        assert response.headers["x-request-id"] in last["error"]["message"]

        proxy.backend.fail_next(RuntimeError("x"), after_words=2)
        stream = await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError, match="had an error"):
            async for _ in stream:
                pass


async def test_an_unexpected_failure_is_a_500_that_tells_nothing() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        proxy.backend.fail_next(RuntimeError("secret detail"))
        response = await http.post(CHAT, json=ask())
        body = await response.text()
    assert response.status == 500
    assert "secret" not in body and "Traceback" not in body


async def test_a_long_prefill_is_kept_alive() -> None:
    proxy = make_proxy(keepalive_s=0.03)
    proxy.backend.gate = asyncio.Event()
    async with client_of(proxy) as http, stock_client(http) as client:
        response = await http.post(CHAT, json=ask(stream=True))
        # A miss is decided before its prefill, and stays one.
        assert response.headers["Cache-Status"] == 'kvproxy; fwd=miss; detail="no-document"'
        assert await response.content.readuntil(b"\n\n") == b": keepalive\n\n"
        assert await response.content.readuntil(b"\n\n") == b": keepalive\n\n"
        asyncio.get_running_loop().call_later(0.1, proxy.backend.gate.set)
        rest = (await response.read()).decode()
        assert ': Cache-Status: kvproxy; fwd=miss; detail="no-document"' in rest
        assert (await events_of(rest))[-1] == "[DONE]"

        proxy.backend.gate.clear()
        asyncio.get_running_loop().call_later(0.1, proxy.backend.gate.set)
        stream = await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "x"}], stream=True
        )
        said = "".join([c.choices[0].delta.content or "" async for c in stream])
    assert said == expected_answer(proxy)


async def test_a_refusal_after_a_keepalive_is_an_error_event() -> None:
    proxy = make_proxy(keepalive_s=0.02, start_delay_s=0.1)
    proxy.backend.fail_next(Overloaded("busy"), after_words=0)
    async with client_of(proxy) as http:
        response = await http.post(CHAT, json=ask(stream=True))
        events = await events_of(await response.text())
    assert response.status == 200
    assert events[-1]["error"]["code"] == "engine_busy"


async def test_upstream_models_pass_through_unchanged() -> None:
    proxy = make_proxy()
    body = {"model": "gpt-far", "messages": [{"role": "wizard"}], "tools": [{}], "made_up": 1}
    async with client_of(proxy) as http:
        response = await http.post(CHAT, json=body)
        answer = await response.json()
        assert response.headers["Cache-Status"] == "kvproxy; fwd=bypass"
        assert answer["choices"][0]["message"]["content"] == "from upstream"
        streamed = await http.post(CHAT, json={**body, "stream": True})
        events = await events_of(await streamed.text())
    assert (
        events[-1] == "[DONE]" and events[-2]["choices"] == [] and events[-2]["usage"]["total_tokens"] == 11
    )
    assert streamed.headers["Cache-Status"] == "kvproxy; fwd=bypass"
    assert proxy.misses.bodies == [body, {**body, "stream": True}]
    assert proxy.misses.open_streams == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_upstream_does_not_see_is_named(stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    proxy = make_proxy()
    proxy.misses.drops = frozenset(("made_up",))
    body = {"model": "gpt-far", "messages": [], "stream": stream}
    async with client_of(proxy) as http:
        told = await http.post(CHAT, json={**body, "made_up": 1, "temperature": 1})
        nothing = await http.post(CHAT, json=body)
    assert told.status == 200
    assert told.headers["x-kvproxy-left-out"] == '"made_up: not passed on"'
    assert "without" in caplog.text and "made_up" in caplog.text
    assert "x-kvproxy-left-out" not in nothing.headers


async def test_upstream_errors_keep_their_status_and_body() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        for stream in (False, True):
            error = {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit"}
            proxy.misses.fail_next(UpstreamError("x", status=429, error=error, retry_after_s=7))
            response = await http.post(CHAT, json={"model": "gpt-far", "messages": [], "stream": stream})
            assert response.status == 429 and response.headers["Retry-After"] == "7"
            assert await response.json() == {"error": error}


async def test_many_readers_half_of_them_leaving() -> None:
    proxy = make_proxy(token_delay_s=0.005)
    async with client_of(proxy) as http:

        async def read(number: int) -> None:
            response = await http.post(CHAT, json=ask(f"question {number}", stream=True))
            if number % 2:
                await response.content.readuntil(b"\n\n")
                response.close()
                return
            events = await events_of(await response.text())
            said = "".join(e["choices"][0]["delta"].get("content", "") for e in events[:-1])
            asked = [g for g in proxy.backend.generations if g.request_id == events[0]["id"]]
            assert said == "".join(answer_to(asked[0].prompt.token_ids))
            assert f"question {number}" in "".join(chr(t) for t in asked[0].prompt.token_ids if t < 128)

        await asyncio.gather(*(read(n) for n in range(64)))
        await eventually(lambda: proxy.backend.check() == [])
    assert len(proxy.backend.generations) == 64
