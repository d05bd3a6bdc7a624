"""Raw upstreams over HTTP: the client gets the upstream's bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from kvproxy.backends.fake.fake_backend import FakeMisses
from kvproxy.backends.raw.passthrough import RawUpstream, raw_client
from kvproxy.errors import SetupError
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from tests.backends.hostile_upstream import hostile_upstream
from tests.backends.mock_endpoints import MockEndpoints, mock_endpoints
from tests.server.doubles import Http, Proxy, client_of, eventually, make_proxy

BODY = b'{ "messages":[{"role":"user","content":"caf\\u00e9 \\"model\\": 1"}],\n "model" : "%s","stream":%s, "n":1.0}'


class WithRaw(FakeMisses):
    """Fake misses beside real raw upstreams."""

    raw: dict[str, RawUpstream]

    def models(self) -> tuple[str, ...]:
        return (*super().models(), *self.raw)

    def passthrough(self, model: str) -> RawUpstream | None:
        return self.raw.get(model)


@asynccontextmanager
async def served(upstream: MockEndpoints, **options: Any) -> AsyncIterator[tuple[Http, Proxy]]:
    proxy = make_proxy(**options)
    async with raw_client() as client:
        misses = WithRaw(proxy.backend, upstreams=("gpt-far",))
        key = {"api_base": upstream.url, "api_key": "sk-upstream"}
        misses.raw = {
            "raw": RawUpstream(client, name="raw", model="openai/org/up-1", **key),
            "same": RawUpstream(client, name="same", model="openai/same", **key),
            "claude": RawUpstream(client, name="claude", model="anthropic/up-1", **key),
            "dead": RawUpstream(
                client, name="dead", model="openai/x", api_base="http://127.0.0.1:9/v1", api_key="sk-upstream"
            ),
        }
        pipeline = Pipeline(
            models=[ServedModel.of(proxy.backend, proxy.composer)], misses=misses, default_max_tokens=64
        )
        proxy.components = replace(proxy.components, pipeline=pipeline)
        async with client_of(proxy) as http:
            yield http, proxy


@pytest.fixture
async def upstream() -> AsyncIterator[MockEndpoints]:
    async with mock_endpoints() as upstream:
        yield upstream


def body(model: str = "raw", stream: bool = False) -> bytes:
    return BODY % (model.encode(), b"true" if stream else b"false")


async def post(
    http: Http, data: bytes, path: str = "chat/completions", **headers: str
) -> aiohttp.ClientResponse:
    return await http.post(f"/v1/{path}", data=data, headers={"Content-Type": "application/json", **headers})


async def test_bytes_go_and_come_as_they_are(upstream: MockEndpoints) -> None:
    upstream.headers = {
        "x-ratelimit-remaining-requests": "5",
        "x-request-id": "theirs",
        "Retry-After": "3",
        "Set-Cookie": "a=b",
        "x-internal": "no",
    }
    async with served(upstream, api_keys=(("a", "sk-of-a-client-0123456789"),)) as (http, _):
        answer = await post(
            http,
            body(),
            **{"Authorization": "Bearer sk-of-a-client-0123456789", "Cookie": "c=d", "x-request-id": "mine"},
        )
        got = await answer.read()
    ((path, raw, headers),) = upstream.seen
    assert path == "chat/completions"
    assert raw == body().replace(b'"raw"', b'"org/up-1"')
    assert headers["authorization"] == "Bearer sk-upstream"
    assert "cookie" not in headers and "sk-of-a-client" not in str(headers)
    assert (answer.status, got) == (200, upstream.sent)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Status"] == "kvproxy; fwd=bypass"
    assert answer.headers["x-request-id"] == "mine" and answer.headers["x-upstream-request-id"] == "theirs"
    assert answer.headers["x-ratelimit-remaining-requests"] == "5" and answer.headers["Retry-After"] == "3"
    assert "Set-Cookie" not in answer.headers and "x-internal" not in answer.headers


async def test_a_body_whose_model_has_its_own_name_is_sent_as_it_came(upstream: MockEndpoints) -> None:
    async with served(upstream) as (http, _):
        await post(http, body("same"))
    assert upstream.seen[0][1] == body("same")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_errors_are_the_upstreams_own(upstream: MockEndpoints, status: int) -> None:
    upstream.status = status
    async with served(upstream) as (http, _):
        for stream in (False, True):
            answer = await post(http, body(stream=stream))
            assert (answer.status, await answer.read()) == (status, upstream.sent)


@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "messages"])
async def test_streams_come_byte_for_byte_as_they_are_sent(upstream: MockEndpoints, path: str) -> None:
    upstream.pause_s = 0.03
    async with served(upstream, keepalive_s=0.01) as (http, _):
        answer = await post(http, body(stream=True), path)
        first = await answer.content.readuntil(b"\n\n")
        assert len(upstream.sent) < 2 * len(first) + 400, "held back"
        assert first + await answer.read() == upstream.sent
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert upstream.seen[0][0] == path


async def test_embeddings(upstream: MockEndpoints) -> None:
    async with served(upstream) as (http, _):
        answer = await post(http, b'{"model": "raw", "input": "Hi"}', "embeddings")
        assert await answer.read() == upstream.sent
    assert upstream.seen[0][:2] == ("embeddings", b'{"model": "org/up-1", "input": "Hi"}')


async def test_anthropic(upstream: MockEndpoints) -> None:
    asked = b'{"model": "claude", "max_tokens": 5, "messages": [], "stream": true}'
    async with served(upstream) as (http, _):
        said = {"anthropic-beta": "b1", "x-api-key": "anything", "idempotency-key": "1"}
        answer = await post(http, asked, "messages", **said)
        assert await answer.read() == upstream.sent
        refused = await post(http, body("claude"))
        assert refused.status == 400 and (await refused.json())["error"]["param"] == "model"
    ((path, raw, headers),) = upstream.seen
    assert (path, raw) == ("messages", asked.replace(b'"claude"', b'"up-1"'))
    assert (headers["x-api-key"], headers["anthropic-version"], headers["anthropic-beta"]) == (
        "sk-upstream",
        "2023-06-01",
        "b1",
    )
    assert "idempotency-key" not in {name.lower() for name in headers}


async def test_an_upstream_that_is_down_is_502(upstream: MockEndpoints) -> None:
    async with served(upstream) as (http, _):
        for stream in (False, True):
            answer = await post(http, body("dead", stream))
            assert answer.status == 502 and (await answer.json())["error"]["type"] == "upstream_error"


async def test_a_stream_that_breaks_between_events_ends_with_an_error(upstream: MockEndpoints) -> None:
    upstream.end = "drop"
    async with served(upstream) as (http, _):
        got = await (await post(http, body(stream=True))).read()
        assert got.startswith(upstream.sent)
        error = json.loads(got.removeprefix(upstream.sent).removeprefix(b"data: "))
        assert error["error"]["message"] == "The upstream's answer broke off."
        named = await (await post(http, body("raw", True), "messages")).read()
    assert named.removeprefix(upstream.sent).startswith(b'event: error\ndata: {"type":"error","error":')


async def test_a_stream_that_breaks_below_its_length_ends_with_an_error(upstream: MockEndpoints) -> None:
    """The length that its upstream promised is not passed on: the client would wait for the rest."""
    async with hostile_upstream() as hostile:
        upstream.url = f"{hostile.url}/length_too_long/v1"
        async with served(upstream) as (http, _):
            response = await post(http, body(stream=True))
            assert "Content-Length" not in response.headers
            *_, error, end = (await response.text()).split("\n\n")
    assert "broke off" in error and end == ""


async def test_a_stream_that_breaks_within_an_event_is_cut(upstream: MockEndpoints) -> None:
    upstream.end = "tear"
    async with served(upstream) as (http, _):
        answer = await post(http, body(stream=True))
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_client_that_leaves_ends_the_upstreams_work(upstream: MockEndpoints) -> None:
    upstream.pause_s = 0.2
    async with served(upstream) as (http, proxy):
        answer = await post(http, body(stream=True))
        await answer.content.readuntil(b"\n\n")
        answer.close()
        await eventually(lambda: upstream.left == 1)
        await eventually(lambda: proxy.drain.in_flight == 0)


async def test_an_answer_that_takes_too_long(upstream: MockEndpoints) -> None:
    upstream.pause_s = 5.0
    async with served(upstream, timeout_s=0.1) as (http, _):
        got = await (await post(http, body(stream=True))).read()
    assert b'"code":"timeout"' in got.removeprefix(upstream.sent)


async def test_a_stream_that_is_cut_at_shutdown_says_so(upstream: MockEndpoints) -> None:
    upstream.pause_s = 5.0
    async with served(upstream) as (http, proxy):
        answer = await post(http, body(stream=True))
        await answer.content.readuntil(b"\n\n")
        proxy.drain.expire()
        assert b'"code":"shutting_down"' in await answer.read()


async def test_connections_are_kept(upstream: MockEndpoints) -> None:
    async with served(upstream) as (http, _):
        for _ in range(5):
            await (await post(http, body())).read()
            await (await post(http, body(stream=True))).read()
        assert len(upstream.connections) == 1
        await asyncio.gather(*(post(http, body()) for _ in range(8)))
    assert len(upstream.seen) == 18


async def test_another_dialect_cannot_be_raw() -> None:
    async with raw_client() as client:
        with pytest.raises(SetupError, match="openai/NAME"):
            RawUpstream(client, name="x", model="bedrock/x", api_base="http://x", api_key="k")


async def test_a_client_that_leaves_at_the_last_event_of_a_raw_stream_has_had_it_whole(
    upstream: MockEndpoints,
) -> None:
    upstream.end = "linger"
    async with served(upstream) as (http, proxy):
        answer = await post(http, body(stream=True))
        await answer.content.readuntil(b"data: [DONE]\n\n")
        answer.close()
        await eventually(lambda: proxy.drain.in_flight == 0)
        [entry] = (await (await http.get("/kv/v1/requests")).json())["data"]
        assert (entry["status"], entry["outcome"]) == (200, "bypass")
