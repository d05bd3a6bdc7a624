"""Every field of a request to an upstream arrives there or is named: by provider and endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kvproxy.backends.base import Endpoint
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from tests.backends.mock_endpoints import EVENTS, WHOLE, MockEndpoints, mock_endpoints

pytestmark = [
    pytest.mark.filterwarnings(
        r"ignore:Accessing the 'model_(computed_)?fields' attribute:pydantic.warnings.PydanticDeprecatedSince211"
    ),
    pytest.mark.filterwarnings(r"ignore:Items? .* on TypedDict class .* `ReadOnly` qualifier:UserWarning"),
]

SERVERS = (
    "openai hosted_vllm openai_like custom_openai lm_studio llamafile xinference docker_model_runner lemonade "
    "litellm_proxy"
).split()
SERVICES = (
    "together_ai fireworks_ai deepseek mistral openrouter xai nvidia_nim perplexity cerebras deepinfra huggingface "
    "databricks sambanova novita hyperbolic moonshot groq"
).split()

ENGINE: dict[str, Any] = {
    "structured_outputs": {"choice": ["a"]},
    "chat_template_kwargs": {"enable_thinking": False},
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "stop_token_ids": [1],
    "cache_salt": "s",
    "made_up": {"deep": [None, 1]},
    "extra_body": {"nested": True},
    "api_base": "http://evil",
}
HINTS: dict[str, Any] = {"user": "u", "prompt_cache_key": "k", "metadata": {"a": "b"}, "store": False}
PART = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
ASK: dict[Endpoint, dict[str, Any]] = {
    "chat/completions": {
        "messages": [{"role": "user", "content": [PART]}],
        "reasoning_effort": "low",
        "seed": 1,
    },
    "completions": {"prompt": "Hi", "logit_bias": {"1": 2}, "seed": 1},
    "embeddings": {"input": ["Hi"], "dimensions": 2},
    "responses": {"input": "Hi", "temperature": 0.5},
    "messages": {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "top_k": 3},
}
TRANSLATED = {"deepseek": {"reasoning_effort"}, "mistral": {"seed"}}
"""Fields that litellm gives another name: `thinking`, `random_seed`."""
MAIN = ("messages", "prompt", "input", "max_tokens")


@pytest.fixture
async def upstream() -> AsyncIterator[MockEndpoints]:
    async with mock_endpoints() as upstream:
        yield upstream


@pytest.fixture
async def backend(upstream: MockEndpoints, provider: str) -> AsyncIterator[LitellmBackend]:
    params = {"model": f"{provider}/up-1", "api_base": upstream.url, "api_key": "sk-up"}
    backend = LitellmBackend(served={}, upstreams=[(provider, params)], fallbacks={})
    await backend.start()
    yield backend
    await backend.close()


async def sent(
    backend: LitellmBackend,
    upstream: MockEndpoints,
    endpoint: Endpoint,
    body: dict[str, Any],
    *,
    stream: bool,
) -> tuple[dict[str, Any], set[str]]:
    """The body that arrived, whatever became of the answer, and the fields that are said not to be in it."""
    upstream.seen.clear()
    told = {item.param for item in await backend.left_out(endpoint, body)}
    if stream:
        async for _ in backend.stream(endpoint, {**body, "stream": True}):
            pass
    else:
        await backend.complete(endpoint, body)
    return json.loads(upstream.seen[-1][1]), told


STREAMED: tuple[tuple[Endpoint, bool], ...] = (
    ("chat/completions", False),
    ("chat/completions", True),
    ("completions", False),
    ("completions", True),
    ("embeddings", False),
    ("responses", False),
    ("responses", True),
    ("messages", False),
    ("messages", True),
)


@pytest.mark.parametrize(("endpoint", "stream"), STREAMED)
@pytest.mark.parametrize("provider", SERVERS)
async def test_a_server_of_openais_dialect_gets_every_field(
    backend: LitellmBackend, upstream: MockEndpoints, provider: str, endpoint: Endpoint, stream: bool
) -> None:
    body = {"model": provider, **ASK[endpoint], **ENGINE, **HINTS}
    arrived, told = await sent(backend, upstream, endpoint, body, stream=stream)
    lost = {k for k, v in body.items() if k not in ("model", *MAIN) and arrived.get(k) != v}
    assert told == set()
    # `metadata` of Anthropic's dialect is the user's id, which litellm translates.
    assert lost <= ({"metadata"} if endpoint == "messages" else set())
    if endpoint == "chat/completions":
        assert arrived["messages"] == body["messages"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", SERVICES)
async def test_a_service_gets_every_field_or_it_is_named(
    backend: LitellmBackend, upstream: MockEndpoints, provider: str, stream: bool
) -> None:
    body = {"model": provider, **ASK["chat/completions"], **ENGINE, **HINTS}
    # Groq's answers always have one, and its adapter reads no others.
    upstream.whole["chat/completions"] = {**WHOLE["chat/completions"], "service_tier": "default"}
    arrived, told = await sent(backend, upstream, "chat/completions", body, stream=stream)
    lost = {k for k, v in body.items() if k not in ("model", *MAIN) and arrived.get(k) != v}
    assert lost - TRANSLATED.get(provider, set()) == told
    assert told <= HINTS.keys() | {"chat_template_kwargs", "stop_token_ids"}


@pytest.mark.parametrize("provider", ["anthropic"])
@pytest.mark.parametrize("endpoint", ["chat/completions", "messages", "responses"])
async def test_what_a_translation_drops_is_named(
    backend: LitellmBackend, upstream: MockEndpoints, endpoint: Endpoint
) -> None:
    asked = {k: v for k, v in ASK[endpoint].items() if k not in ("reasoning_effort", "seed")}
    body = {"model": "anthropic", **asked, **ENGINE, **HINTS}
    told = {item.param for item in await backend.left_out(endpoint, body)}
    assert ENGINE.keys() <= told and "prompt_cache_key" in told
    assert not told & {"model", *MAIN}


WHOLLY: dict[Endpoint, dict[str, Any]] = {
    "responses": {
        "input": "Hi",
        "include": ["reasoning.encrypted_content"],
        "instructions": "Be brief.",
        "max_output_tokens": 7,
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "safety_identifier": "s",
        "service_tier": "default",
        "store": False,
        "temperature": 0.5,
        "text": {"format": {"type": "json_object"}},
        "tool_choice": "auto",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "top_logprobs": 3,
        "top_p": 0.25,
        "truncation": "auto",
        "user": "u",
    },
    "messages": {
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hi"}],
        "container": "c",
        "context_management": {"edits": []},
        "metadata": {"user_id": "u1"},
        "service_tier": "auto",
        "stop_sequences": ["x"],
        "system": "Be brief.",
        "temperature": 0.5,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tool_choice": {"type": "auto"},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "top_k": 3,
        "top_p": 0.25,
    },
}
RENAMED = {
    "instructions": "messages",
    "max_output_tokens": "max_tokens",
    "reasoning": "reasoning_effort",
    "stop_sequences": "stop",
    "system": "messages",
    "text": "response_format",
    "thinking": "reasoning_effort",
    "input": "messages",
}


@pytest.mark.parametrize("provider", ["llamafile", "lm_studio", "together_ai"])
@pytest.mark.parametrize("endpoint", ["responses", "messages"])
async def test_a_parameter_that_a_translation_forgets_is_named(
    backend: LitellmBackend, upstream: MockEndpoints, provider: str, endpoint: Endpoint
) -> None:
    body = {"model": provider, **WHOLLY[endpoint]}
    arrived, told = await sent(backend, upstream, endpoint, body, stream=False)
    assert upstream.seen[-1][0] == "chat/completions"
    lost = {k for k in body if RENAMED.get(k, k) not in arrived}
    # The user's id in Anthropic's metadata becomes `user`, which some services do not take.
    assert lost - told <= ({"metadata"} if endpoint == "messages" else set())
    assert not told & arrived.keys()


async def test_an_answer_keeps_what_the_upstream_added(upstream: MockEndpoints) -> None:
    """As vLLM adds to its answers."""
    up = {"model": "hosted_vllm/up-1", "api_base": upstream.url, "api_key": "sk-up"}
    backend = LitellmBackend(served={}, upstreams=[("up", up)], fallbacks={})
    await backend.start()
    added = {"kv_transfer_params": {"a": 1}, "prompt_token_ids": [1, 2], "service_tier": "default"}
    choice = {"token_ids": [3], "stop_reason": 7}
    thought = {"reasoning": "hm", "reasoning_content": "hm"}
    whole, events = WHOLE["chat/completions"], EVENTS["chat/completions"]
    said = {**whole["choices"][0], **choice, "message": {**whole["choices"][0]["message"], **thought}}
    delta = {**events[1]["choices"][0], **choice, "delta": {"content": "Hello.", **thought}}
    upstream.whole["chat/completions"] = {**whole, **added, "choices": [said]}
    upstream.events["chat/completions"] = [events[0], {**events[1], **added, "choices": [delta]}, events[2]]
    body = {"model": "up", "messages": [{"role": "user", "content": "Hi"}]}
    answer = await backend.complete("chat/completions", body)
    chunks = [c async for c in backend.stream("chat/completions", {**body, "stream": True})]
    await backend.close()
    [chunk] = [c for c in chunks if c["choices"][0]["delta"].get("content") == "Hello."]
    for given, part in ((answer, "message"), (chunk, "delta")):
        assert {k: given.get(k) for k in added} == added
        assert {k: given["choices"][0].get(k) for k in choice} == choice
        assert {k: given["choices"][0][part].get(k) for k in thought} == thought
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 4


async def test_a_message_made_of_a_chat_completion_has_no_nulls_that_clients_refuse(
    upstream: MockEndpoints,
) -> None:
    up = {"model": "hosted_vllm/up-1", "api_base": upstream.url, "api_key": "sk-up"}
    backend = LitellmBackend(served={}, upstreams=[("up", up)], fallbacks={})
    await backend.start()
    whole, events = WHOLE["chat/completions"], EVENTS["chat/completions"]
    thought = {"reasoning_content": "hm"}
    said = {**whole["choices"][0], "message": {**whole["choices"][0]["message"], **thought}}
    upstream.whole["chat/completions"] = {**whole, "choices": [said]}
    thinking = {**events[1], "choices": [{**events[1]["choices"][0], "delta": thought}]}
    upstream.events["chat/completions"] = [events[0], thinking, *events[1:]]
    body = {"model": "up", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    answer = await backend.complete("messages", body)
    streamed = [e async for e in backend.stream("messages", {**body, "stream": True})]
    await backend.close()
    assert answer["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "Hello."},
    ]
    opened = [e["content_block"] for e in streamed if e["type"] == "content_block_start"]
    assert [b["type"] for b in opened][-2:] == ["thinking", "text"]
    assert all(v is not None for block in opened for v in block.values())
