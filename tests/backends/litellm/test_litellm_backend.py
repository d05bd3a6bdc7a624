"""Misses and other models go through litellm, and come out as if it were not there."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from kvproxy.backends.base import Endpoint, Generation
from kvproxy.backends.fake.fake_backend import FakeBackend, answer_to
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.core import Caller, Prompt, Sampling
from kvproxy.errors import (
    CannotFit,
    ContextTooLong,
    KVProxyError,
    ModelNotFound,
    NotReady,
    Overloaded,
    SetupError,
    UpstreamError,
)
from kvproxy.events import Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta
from tests.backends.hostile_upstream import hostile_upstream
from tests.backends.mock_upstream import USAGE, MockUpstream, mock_upstream
from tests.server.doubles import eventually

# litellm reads `model_fields` off pydantic instances for every chunk of an upstream's stream; pydantic warns.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Accessing the 'model_(computed_)?fields' attribute:pydantic.warnings.PydanticDeprecatedSince211"
)

MESSAGES = [{"role": "user", "content": "Hi"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
        },
    }
]


@pytest.fixture
async def upstream() -> AsyncIterator[MockUpstream]:
    async with mock_upstream() as upstream:
        yield upstream


@pytest.fixture
def local() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def backend(upstream: MockUpstream, local: FakeBackend) -> AsyncIterator[LitellmBackend]:
    params = {"model": "openai/up-1", "api_base": upstream.url, "api_key": "sk-upstream"}
    dead = {"model": "openai/up-1", "api_base": "http://127.0.0.1:9/v1", "api_key": "sk-upstream"}
    backend = LitellmBackend(
        served={"fake": local},
        upstreams=[
            ("up", params),
            ("slow", {**params, "timeout": 0.05}),
            ("dead", dead),
            ("pair", dead),
            ("pair", params),
            ("saved", dead),
        ],
        fallbacks={"saved": ["up"]},
    )
    await backend.start()
    yield backend
    await backend.close()
    assert local.check() == []


@pytest.fixture
async def rescued(upstream: MockUpstream, local: FakeBackend) -> AsyncIterator[LitellmBackend]:
    """The local model has a fallback."""
    params = {"model": "openai/up-1", "api_base": upstream.url, "api_key": "sk-upstream"}
    backend = LitellmBackend(served={"fake": local}, upstreams=[("up", params)], fallbacks={"fake": ["up"]})
    yield backend
    await backend.close()
    assert local.check() == []


def generation(**sampling: Any) -> Generation:
    return Generation("r1", Prompt(tuple(range(20))), Sampling(**sampling), Caller("a", "tenant:a"))


async def events_of(backend: LitellmBackend, **sampling: Any) -> list[Event]:
    return [event async for event in backend.miss(generation(**sampling), {"messages": MESSAGES})]


def text_of(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


async def chunks_of(backend: LitellmBackend, **body: Any) -> list[dict[str, Any]]:
    body = {"model": "up", "messages": MESSAGES, "stream": True, **body}
    return [chunk async for chunk in backend.stream("chat/completions", body)]


# Misses on the local model


async def test_a_miss_is_the_engines_own_events(backend: LitellmBackend, local: FakeBackend) -> None:
    assert await events_of(backend) == [event async for event in FakeBackend().generate(generation())]
    assert local.generations == [generation()]


async def test_a_second_reader_finds_what_the_miss_kept(backend: LitellmBackend) -> None:
    await events_of(backend)
    started, *_, finished = await events_of(backend)
    assert isinstance(started, Started) and started.cached_tokens == 19
    assert isinstance(finished, Finished) and finished.usage.cached_tokens == 19


async def test_sampling_reaches_the_engine(backend: LitellmBackend, local: FakeBackend) -> None:
    asked: dict[str, Any] = {"temperature": 0.0, "top_p": 0.5, "top_k": 7, "seed": 3, "max_tokens": 2}
    asked["stop"] = ("x", "y")
    *_, finished = await events_of(backend, **asked)
    assert isinstance(finished, Finished) and finished.reason == "length"
    assert local.generations[0].sampling == Sampling(**asked)


async def test_the_same_word_a_thousand_times_is_an_answer(
    backend: LitellmBackend, local: FakeBackend
) -> None:
    local.scripted = lambda _: "over " * 1000
    events = await events_of(backend)
    assert text_of(events) == "over " * 1000


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("full", retry_after_s=3),
        ContextTooLong(limit=10, prompt_tokens=20, completion_tokens=1),
        CannotFit("too big"),
        NotReady("loading"),
        RuntimeError("a bug"),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_the_engines_errors_come_out_as_themselves(
    backend: LitellmBackend, local: FakeBackend, error: Exception
) -> None:
    local.fail_next(error)
    with pytest.raises(type(error)) as raised:
        await events_of(backend)
    assert raised.value is error
    # Neither retried nor left alone for a while.
    assert len(local.generations) == 1
    assert isinstance((await events_of(backend))[-1], Finished)


async def test_an_error_after_the_first_byte_comes_out_as_itself(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    error = KVProxyError("broke")
    local.fail_next(error, after_words=2)
    seen = []
    with pytest.raises(KVProxyError) as raised:
        async for event in rescued.miss(generation(), {"messages": MESSAGES}):
            seen.append(event)
    assert raised.value is error
    assert len(seen) == 3
    assert upstream.bodies == []


async def test_closing_the_miss_closes_the_engine_at_once(
    backend: LitellmBackend, local: FakeBackend
) -> None:
    events = backend.miss(generation(), {"messages": MESSAGES})
    assert isinstance(await anext(events), Started)
    assert local.running == {"r1"}
    await events.aclose()
    assert local.running == set()


async def test_cancelling_before_the_first_token_closes_the_engine(
    backend: LitellmBackend, local: FakeBackend
) -> None:
    local.gate = asyncio.Event()
    task = asyncio.ensure_future(events_of(backend))
    async with asyncio.timeout(30):
        while not local.running:  # noqa: ASYNC110  # the fake has no event for this
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert local.running == set()


async def test_many_misses_at_once_keep_apart(backend: LitellmBackend, local: FakeBackend) -> None:
    local.start_delay_s = 0.01

    async def ask(n: int) -> str:
        prompt = Prompt(tuple(range(n, n + 20)))
        asked = Generation("same id", prompt, Sampling(), Caller("a", f"tenant:{n}"))
        events = [e async for e in backend.miss(asked, {"messages": MESSAGES})]
        return text_of(events)

    answers = ["".join(answer_to(tuple(range(n, n + 20)))) for n in range(16)]
    assert await asyncio.gather(*(ask(n) for n in range(16))) == answers


async def test_two_backends_in_one_process(backend: LitellmBackend, local: FakeBackend) -> None:
    other_local = FakeBackend()
    other = LitellmBackend(served={"other": other_local}, upstreams=[], fallbacks={})
    assert await events_of(other) == await events_of(backend)
    await other.close()
    assert (len(local.generations), len(other_local.generations)) == (1, 1)


async def test_without_a_local_model() -> None:
    backend = LitellmBackend(served={}, upstreams=[], fallbacks={})
    with pytest.raises(NotReady):
        await events_of(backend)


def test_the_local_model_is_no_fallback(local: FakeBackend) -> None:
    with pytest.raises(SetupError, match="only upstreams can stand in"):
        LitellmBackend(served={"fake": local}, upstreams=[("up", {})], fallbacks={"up": ["fake"]})


# A fallback in the engine's place


async def test_a_fallback_answers_for_a_busy_engine(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    local.fail_next(Overloaded("full"))
    started, *texts, finished = await events_of(rescued, temperature=0.5, max_tokens=9, seed=1, stop=("z",))
    assert started == Started(0, False, 0.0, 0.0, 0.0, parsed=True)
    assert text_of(texts) == "Hello."
    assert isinstance(finished, Finished)
    counts = finished.usage
    assert (counts.prompt_tokens, counts.completion_tokens) == (10, 2)
    assert (counts.cached_tokens, counts.cache_write_tokens) == (4, 3)
    (body,) = upstream.bodies
    assert body.pop("stream_options") == {"include_usage": True}
    assert body == {
        "model": "up-1",
        "messages": MESSAGES,
        "stream": True,
        "temperature": 0.5,
        "top_p": 1.0,
        "max_tokens": 9,
        "seed": 1,
        "stop": ["z"],
    }


async def test_a_fallback_that_was_cut_says_so(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    local.fail_next(Overloaded("full"))
    upstream.finish_reason = "length"
    finished = (await events_of(rescued))[-1]
    assert isinstance(finished, Finished) and finished.reason == "length"


async def test_when_the_fallback_fails_too_the_engines_error_is_told(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    error = Overloaded("full")
    local.fail_next(error)
    upstream.status = 500
    with pytest.raises(Overloaded) as raised:
        await events_of(rescued)
    assert raised.value is error
    assert len(upstream.bodies) == 1


async def test_a_fallback_that_breaks_midway_is_an_upstream_error(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    local.fail_next(Overloaded("full"))
    upstream.stream_end = "drop"
    seen = []
    with pytest.raises(UpstreamError):
        async for event in rescued.miss(generation(), {"messages": MESSAGES}):
            seen.append(event)
    assert isinstance(seen[0], Started)


async def test_a_fallback_is_asked_for_all_of_it(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    """Tools and formats must not make litellm refuse the engine either."""
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    call = {
        "messages": MESSAGES,
        "tools": TOOLS,
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    }
    asked = generation(
        presence_penalty=0.5, frequency_penalty=-0.5, top_k=5, min_p=0.1, logprobs=2, logit_bias=((1, 2.0),)
    )
    events = [event async for event in rescued.miss(asked, call)]
    assert upstream.bodies == [] and isinstance(events[-1], Finished)
    local.fail_next(Overloaded("full"))
    events = [event async for event in rescued.miss(replace(asked, request_id="r2"), call)]
    assert text_of(events) == "Hello."
    (body,) = upstream.bodies
    sent: dict[str, Any] = {"presence_penalty": 0.5, "frequency_penalty": -0.5, "top_k": 5, "min_p": 0.1}
    sent |= {"logprobs": True, "top_logprobs": 2, **call}
    assert {name: body.get(name) for name in sent} == sent
    assert "logit_bias" not in body


async def test_a_fallback_is_told_a_regex_or_is_not_asked(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    call = {"messages": MESSAGES, "structured_outputs": {"regex": "a+"}}
    local.fail_next(Overloaded("full"))
    events = [event async for event in rescued.miss(generation(), call)]
    assert text_of(events) == "Hello."
    assert upstream.bodies.pop()["structured_outputs"] == {"regex": "a+"}
    params = {"model": "mistral/up-1", "api_base": upstream.url, "api_key": "sk-upstream"}
    deaf = LitellmBackend(served={"fake": local}, upstreams=[("up", params)], fallbacks={"fake": ["up"]})
    local.fail_next(error := Overloaded("full"))
    with pytest.raises(Overloaded) as raised:
        async for _ in deaf.miss(replace(generation(), request_id="r2"), call):
            pass
    await deaf.close()
    assert raised.value is error
    assert upstream.bodies == []


async def test_a_fallbacks_calls_and_thoughts_are_events(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream
) -> None:
    local.fail_next(Overloaded("full"))
    function = {"name": "look", "arguments": ""}
    upstream.deltas = [
        {"role": "assistant", "content": None},
        {"reasoning_content": "hm"},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at": "x"}'}}]},
    ]
    upstream.finish_reason = "tool_calls"
    events = [event async for event in rescued.miss(generation(), {"messages": MESSAGES, "tools": TOOLS})]
    assert events[1:-1] == [
        ReasoningDelta("hm"),
        ToolCallDelta(0, "call_1", "look", ""),
        ToolCallDelta(0, None, None, '{"at": "x"}'),
    ]
    assert isinstance(events[-1], Finished) and events[-1].reason == "tool_calls"


# Other models


async def test_the_upstream_gets_what_the_client_sent(
    backend: LitellmBackend, upstream: MockUpstream
) -> None:
    body = {
        "model": "up",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"ttl": "1h"}}],
            },
        ],
        "temperature": 0.3,
        "tools": TOOLS,
        "user": "u1",
        "metadata": {"team": "a"},
        "verbosity": "low",
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "prompt_cache_key": "k",
        "chat_template_kwargs": {"enable_thinking": False},
        "min_p": 0.1,
        "unknown": {"deep": [None, 1]},
        "fallbacks": ["dead"],
        "api_base": "http://127.0.0.1:9/v1",
        "api_key": "sk-stolen",
        "mock_response": "not asked",
        "num_retries": 5,
    }
    answer = await backend.complete("chat/completions", body)
    assert upstream.bodies == [{**body, "model": "up-1"}]
    assert answer["choices"][0]["message"]["content"] == "Hello."


async def test_a_completion_is_as_the_spec_says(backend: LitellmBackend, upstream: MockUpstream) -> None:
    upstream.message = {"role": "assistant", "content": "Hello.", "refusal": None, "reasoning_content": "hm"}
    answer = await backend.complete("chat/completions", {"model": "up", "messages": MESSAGES})
    assert answer == {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "up-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello.",
                    "refusal": None,
                    "reasoning_content": "hm",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }


async def test_tool_calls_and_refusals_pass(backend: LitellmBackend, upstream: MockUpstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
    upstream.message = {"role": "assistant", "content": None, "refusal": "I won't.", "tool_calls": [call]}
    upstream.finish_reason = "tool_calls"
    (choice,) = (
        await backend.complete("chat/completions", {"model": "up", "messages": MESSAGES, "tools": TOOLS})
    )["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "I won't.",
        "tool_calls": [call],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert upstream.bodies[0]["tools"] == TOOLS


@pytest.mark.parametrize("counts", [None, {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}])
async def test_cached_tokens_are_there_when_the_upstream_counts_none(
    backend: LitellmBackend, upstream: MockUpstream, counts: dict[str, Any] | None
) -> None:
    upstream.usage = counts
    usage = (await backend.complete("chat/completions", {"model": "up", "messages": MESSAGES}))["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_stream_is_as_the_spec_says(backend: LitellmBackend, upstream: MockUpstream) -> None:
    chunks = await chunks_of(backend, stream_options={"include_usage": True})
    assert {(c["id"], c["object"], c["model"]) for c in chunks} == {
        ("chatcmpl-up", "chat.completion.chunk", "up-1")
    }
    assert len({c["created"] for c in chunks}) == 1
    *deltas, last = chunks
    assert [c["choices"][0]["delta"] for c in deltas] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo."},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in deltas] == [None, None, None, "stop"]
    assert all(c["usage"] is None and c["choices"][0]["logprobs"] is None for c in deltas)
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert "provider_specific_fields" not in json.dumps(chunks)


async def test_usage_is_not_sent_unasked(backend: LitellmBackend) -> None:
    chunks = await chunks_of(backend)
    assert all("usage" not in c and c["choices"] for c in chunks)


async def test_streamed_tool_calls_and_reasoning_pass(
    backend: LitellmBackend, upstream: MockUpstream
) -> None:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    upstream.deltas = [
        {"role": "assistant", "content": None},
        {"reasoning_content": "hm"},
        {"tool_calls": [first]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ' "x"}'}}]},
    ]
    upstream.finish_reason = "tool_calls"
    chunks = await chunks_of(backend, tools=TOOLS)
    deltas = [c["choices"][0]["delta"] for c in chunks]
    calls = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
    assert calls[0] == first
    assert [set(c) for c in calls[1:]] == [{"index", "function"}] * 2
    assert "".join(c["function"]["arguments"] for c in calls) == '{"at": "x"}'
    assert [d["reasoning_content"] for d in deltas if "reasoning_content" in d] == ["hm"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_repeating_upstream_is_passed_on(backend: LitellmBackend, upstream: MockUpstream) -> None:
    upstream.deltas = [{"role": "assistant", "content": ""}, *[{"content": "over "}] * 150]
    chunks = await chunks_of(backend)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "over " * 150


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 529])
@pytest.mark.parametrize("kind", ["invalid_request_error", "server_error"])
async def test_errors_keep_status_body_and_retry_after(
    backend: LitellmBackend, upstream: MockUpstream, status: int, kind: str
) -> None:
    upstream.status, upstream.headers = status, {"Retry-After": "7"}
    upstream.error["type"] = kind
    for streamed in (False, True):
        with pytest.raises(UpstreamError) as raised:
            if streamed:
                await chunks_of(backend)
            else:
                await backend.complete("chat/completions", {"model": "up", "messages": MESSAGES})
        assert raised.value.http_status == status
        assert raised.value.body() == {"error": {"message": "No.", "type": kind, "param": "p", "code": "c"}}
        assert raised.value.retry_after_s == 7
    assert len(upstream.bodies) == 2
    # One deployment is not left alone after failures: the next request is tried.
    upstream.status = 200
    await backend.complete("chat/completions", {"model": "up", "messages": MESSAGES})


async def test_a_refused_connection_is_502(backend: LitellmBackend) -> None:
    for call in (
        backend.complete("chat/completions", {"model": "dead", "messages": MESSAGES}),
        chunks_of(backend, model="dead"),
    ):
        with pytest.raises(UpstreamError, match="could not be reached") as raised:
            await call
        assert raised.value.http_status == 502
        assert "Traceback" not in str(raised.value.body())


async def test_a_silent_upstream_is_504(backend: LitellmBackend, upstream: MockUpstream) -> None:
    upstream.delay_s = 0.3
    with pytest.raises(UpstreamError, match="in time") as raised:
        await backend.complete("chat/completions", {"model": "slow", "messages": MESSAGES})
    assert raised.value.http_status == 504


@pytest.mark.parametrize(("end", "message"), [("error", r"Broke\."), ("drop", "broke off")])
async def test_a_broken_stream_ends_in_an_error_after_its_chunks(
    backend: LitellmBackend, upstream: MockUpstream, end: str, message: str
) -> None:
    upstream.stream_end = end
    seen = []
    with pytest.raises(UpstreamError, match=message) as raised:
        async for chunk in backend.stream(
            "chat/completions", {"model": "up", "messages": MESSAGES, "stream": True}
        ):
            seen.append(chunk)
    assert seen[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert raised.value.http_status >= 500
    assert "Traceback" not in str(raised.value.body())


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions", "responses", "messages"])
@pytest.mark.parametrize("dialect", ["openai/m", "anthropic/m"])
async def test_closing_a_stream_early_ends_the_upstreams_answer(dialect: str, endpoint: Endpoint) -> None:
    async with hostile_upstream() as upstream:
        base = f"{upstream.url}/drip_events" + ("/v1" if dialect.startswith("openai") else "")
        params = {"model": dialect, "api_base": base, "api_key": "sk-upstream"}
        backend = LitellmBackend(served={}, upstreams=[("up", params)], fallbacks={})
        await backend.start()
        asked = {"messages": MESSAGES, "prompt": "Hi", "input": "Hi", "max_tokens": 5, "stream": True}
        async with aclosing(backend.stream(endpoint, {"model": "up", **asked})) as chunks:
            first = asyncio.ensure_future(anext(chunks))
            await eventually(lambda: upstream.asked["drip_events"] == 1)
            await asyncio.wait([first], timeout=0.3)  # not every reader makes something of these events
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        await eventually(lambda: upstream.open["drip_events"] == 0)
        await backend.close()
    sessions = [x for x in gc.get_objects() if type(x) is aiohttp.ClientSession]
    assert [x for x in sessions if not x.closed] == []


async def test_another_deployment_and_a_fallback_stand_in(
    backend: LitellmBackend, upstream: MockUpstream
) -> None:
    for name in ("pair", "pair", "pair", "saved"):
        answer = await backend.complete("chat/completions", {"model": name, "messages": MESSAGES})
        assert answer["choices"][0]["message"]["content"] == "Hello."
    assert len(upstream.bodies) == 4


async def test_an_unknown_model(backend: LitellmBackend) -> None:
    assert backend.models() == ("up", "slow", "dead", "pair", "saved")
    with pytest.raises(ModelNotFound):
        await backend.complete("chat/completions", {"model": "fake", "messages": MESSAGES})


OFFLINE = """
import asyncio, sys
from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.backends.base import Endpoint, Generation
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.core import Caller, Prompt, Sampling
assert "litellm" not in sys.modules

def audit(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("NETWORK", event, args, flush=True)

sys.addaudithook(audit)

async def main():
    backend = LitellmBackend(
        served={"fake": FakeBackend()},
        upstreams=[("up", {"model": "openai/gpt-4o-mini", "api_key": "sk-x"})],
        fallbacks={"fake": ["up"]},
    )
    assert "litellm" not in sys.modules
    await backend.start()
    assert "litellm" in sys.modules
    asked = Generation("r", Prompt((1, 2, 3)), Sampling(), Caller("a", "a"))
    print(len([e async for e in backend.miss(asked, {"messages": [{"role": "user", "content": "Hi"}]})]))
    await backend.close()

asyncio.run(main())
"""


def test_no_network_at_import_start_or_miss() -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=False)
    assert done.stdout == "14\n"
    assert done.stderr == ""
    assert done.returncode == 0
