"""A hostile upstream fails its own requests and does not affect other requests."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.backends.raw.passthrough import RawUpstream, raw_client
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from tests.backends.hostile_upstream import WAYS, HostileUpstream, hostile_upstream
from tests.callback_time import callback_time, slowness
from tests.server.doubles import Http, client_of, eventually, make_proxy

pytestmark = [
    pytest.mark.filterwarnings(
        r"ignore:Accessing the 'model_(computed_)?fields' attribute:pydantic.warnings.PydanticDeprecatedSince211"
    ),
    # A call that is cancelled while litellm prepares it in a thread leaves the coroutine that the thread made.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

MESSAGES = [{"role": "user", "content": "hi"}]
WARM = ("nothing", "many_values")
DOORS: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": MESSAGES},
    "completions": {"prompt": "hi"},
    "responses": {"input": "hi"},
    "messages": {"messages": MESSAGES, "max_tokens": 5},
    "embeddings": {"input": "hi"},
}


@asynccontextmanager
async def served(
    upstream: HostileUpstream, ways: Sequence[str], *, timeout_s: float = 5.0
) -> AsyncIterator[Http]:
    """Models: ``WAY`` through litellm, ``raw-WAY`` raw, ``claude-WAY`` in Anthropic's dialect through litellm."""
    ways = (*ways, *WARM)
    proxy = make_proxy(timeout_s=timeout_s)
    async with raw_client() as client:
        openai = {
            way: {"api_base": f"{upstream.url}/{way}/v1", "api_key": "sk-upstream"}
            for way in dict.fromkeys(ways)
        }
        claude = {way: {**key, "api_base": f"{upstream.url}/{way}"} for way, key in openai.items()}
        backend = LitellmBackend(
            served={"fake": proxy.backend},
            upstreams=[(way, {"model": "openai/m", **key}) for way, key in openai.items()]
            + [(f"claude-{way}", {"model": "anthropic/m", **key}) for way, key in claude.items()],
            fallbacks={},
            raw={
                f"raw-{way}": RawUpstream(client, name=way, model="openai/m", **key)
                for way, key in openai.items()
            },
        )
        await backend.start()
        pipeline = Pipeline(
            models=[ServedModel.of(proxy.backend, proxy.composer)], misses=backend, default_max_tokens=64
        )
        proxy.components = replace(proxy.components, pipeline=pipeline)
        try:
            async with client_of(proxy) as http:
                yield http
        finally:
            await backend.close()


async def answer(http: Http, path: str, model: str, **fields: Any) -> tuple[int, bytes]:
    """Status and the beginning and the end of the body; one that broke off ends where it did."""
    start = end = b""
    async with http.post(f"/v1/{path}", json={"model": model, **DOORS[path], **fields}) as response:
        try:
            async for piece in response.content.iter_any():
                start, end = (start + piece)[: 2**16], (end + piece)[-(2**12) :]
        except aiohttp.ClientPayloadError:
            end += b"(broken off)"
        return response.status, start if len(start) < 2**16 else start + end


ENDLESS = tuple(way for way in WAYS if way.startswith(("endless", "drip", "silent", "gzip_bomb_of_events")))
GROUPS = {"with an end": tuple(way for way in WAYS if way not in ENDLESS), "without an end": ENDLESS}
TIMEOUTS = {"with an end": 10.0, "without an end": 0.3}
KINDS = ("", "claude-", "raw-")
EVERYWHERE = [
    (kind, path, stream)
    for kind in KINDS
    for path in DOORS
    for stream in ((False, True) if path != "embeddings" else (False,))
    if (kind, path) != ("claude-", "embeddings")  # a service that Anthropic does not have
]
OFTEN = [("", "chat/completions", True), ("", "chat/completions", False), ("claude-", "messages", True)]
LONGEST_S = 0.1
"""CPU time of one callback of this thread on a common machine. The server's loop was measured at 0.005; the test's
own client, which decompresses answers on the same thread, at 0.05."""


def doors_of(number: int) -> list[tuple[str, str, bool]]:
    """Return the endpoints of a way: all with KVPROXY_HOSTILE=all (minutes), else the usual ones and two others."""
    if os.environ.get("KVPROXY_HOSTILE") == "all":
        return EVERYWHERE
    others = [door for door in EVERYWHERE if door not in OFTEN]
    return OFTEN + [others[(2 * number + i) % len(others)] for i in range(2)]


@pytest.mark.parametrize("group", GROUPS)
async def test_a_hostile_answer_ends_and_costs_little(group: str, caplog: pytest.LogCaptureFixture) -> None:
    ways = GROUPS[group]
    async with hostile_upstream() as upstream, served(upstream, ways, timeout_s=TIMEOUTS[group]) as http:
        for kind in KINDS:  # litellm imports much of itself late
            for way in WARM:
                await asyncio.gather(
                    *(answer(http, p, kind + way, stream=s) for k, p, s in EVERYWHERE if k == kind)
                )
        for number, way in enumerate(ways):
            doors = OFTEN[:2] if way.startswith("most_values") else doors_of(number)
            with callback_time() as spent:
                async with asyncio.timeout(30):
                    answers = await asyncio.gather(*(answer(http, p, k + way, stream=s) for k, p, s in doors))
            for (kind, path, stream), (status, got) in zip(doors, answers, strict=True):
                check(way, kind, path, stream=stream, status=status, got=got)
            if way != "endless_interim":
                assert spent.longest_s < LONGEST_S * slowness(), f"{way}: {spent}"
            assert (await http.get("/health/live")).status == 200
            await eventually(lambda way=way: upstream.open[way] == 0)  # type: ignore[misc]
    gc.collect()
    assert "Traceback" not in caplog.text
    assert all(
        len(record.getMessage()) < 2000 for record in caplog.records if record.name.startswith("kvproxy")
    )


def check(way: str, kind: str, path: str, *, stream: bool, status: int, got: bytes) -> None:
    """Check for an answer, or a short error in the dialect. A raw answer is the upstream's own."""
    told = f"{way} {kind}{path} stream={stream}: {status} {got[:300]!r}"
    assert b"Traceback" not in got, told
    if status >= 400 and kind != "raw-":
        error = json.loads(got)["error"]
        assert len(got) < 3000 and error["message"] and error["type"], told
        assert status in (400, 429, 502, 504), told
        if path == "messages":
            assert json.loads(got)["type"] == "error", told
    if way.startswith(("endless", "drip", "silent", "gzip_bomb")) and kind != "raw-":
        assert status in (400, 502, 504) or (stream and status == 200 and b'"error"' in got[-4096:]), told
    if status == 200 and not stream and kind != "raw-" and len(got) < 2**16:
        json.loads(got, parse_constant=pytest.fail)


async def test_what_is_held_of_an_answer_is_bounded() -> None:
    """Measured by the bytes that an upstream could send before its connection was closed."""
    ways = ["endless_line", "endless_short_lines", "endless_error", "gzip_bomb", "many_values"]
    async with hostile_upstream() as upstream, served(upstream, ways, timeout_s=30) as http:
        for way in ways:
            status, _ = await answer(http, "chat/completions", way, stream=True)
            assert status in (400, 502), way
            assert upstream.sent[way] < 20 * 2**20, way


@pytest.mark.parametrize(("kind", "path"), [*dict.fromkeys((k, p) for k, p, s in EVERYWHERE if s)])
async def test_a_client_that_leaves_ends_the_upstreams_answer(kind: str, path: str) -> None:
    async with hostile_upstream() as upstream, served(upstream, ["drip_events"], timeout_s=30) as http:
        asking = asyncio.ensure_future(answer(http, path, f"{kind}drip_events", stream=True))
        await eventually(lambda: upstream.asked["drip_events"] == 1)  # not every reader keeps it open
        await asyncio.sleep(0.1)
        asking.cancel()
        await eventually(lambda: upstream.open["drip_events"] == 0)


HOSTILE = "://" * 20_000


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": HOSTILE, "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": HOSTILE}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": HOSTILE}}]}]},
        {"messages": [{"role": "user", "content": HOSTILE, "name": HOSTILE}], "tool_choice": HOSTILE},
        {"messages": [{"role": "user", "content": "x"}], "tools": [{"type": HOSTILE}]},
        {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": HOSTILE}},
        {"messages": [{"role": "tool", "tool_call_id": HOSTILE, "content": HOSTILE}]},
    ],
)
async def test_a_hostile_request_costs_little(body: dict[str, Any]) -> None:
    async with hostile_upstream() as upstream, served(upstream, ["slashes_in_an_error"]) as http:
        for kind, path in (
            ("", "chat/completions"),
            ("claude-", "chat/completions"),
            ("claude-", "messages"),
        ):
            await answer(http, path, f"{kind}slashes_in_an_error")
            with callback_time() as spent:
                status, got = await answer(
                    http, path, f"{kind}slashes_in_an_error", **{"max_tokens": 5, **body}
                )
            assert 400 <= status < 600 and len(got) < 3000
            assert spent.longest_s < LONGEST_S * slowness(), f"{kind}{path}: {spent}"
