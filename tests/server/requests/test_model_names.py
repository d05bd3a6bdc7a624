from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from kvproxy.server.requests.model_names import ModelNames
from tests.backends.mock_endpoints import MockEndpoints, mock_endpoints
from tests.server.answers.test_upstream_answer import served
from tests.server.doubles import Http, ask, client_of, make_proxy

NAMES = ModelNames(
    ("qwen3-4b", "gpt-4o", "org/Big", "GPT-4O"),
    {
        "claude-*": "qwen3-4b",
        "small": "gpt-4o",
        "gpt-*": "org/Big",
        "Claude-Best": "gpt-4o",
        "*-[45]": "qwen3-4b",
    },
)


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ("qwen3-4b", "qwen3-4b"),
        ("Qwen3-4B", "qwen3-4b"),
        (" qwen3-4b\n", "qwen3-4b"),
        ("openai/qwen3-4b", "qwen3-4b"),
        ("kvproxy/Qwen3-4B", "qwen3-4b"),
        ("org/big", "org/Big"),
        ("hosted_vllm/org/big", "org/Big"),
        ("big", None),
        ("elsewhere/qwen3-4b", None),
        # A served name comes before a pattern that fits it, and the letters' own case before another.
        ("gpt-4o", "gpt-4o"),
        ("GPT-4O", "GPT-4O"),
        ("Gpt-4o", "gpt-4o"),
        ("gpt-4.1", "org/Big"),
        ("openai/gpt-5", "org/Big"),
        # The first pattern that fits counts; a name before all of them.
        ("claude-opus-4", "qwen3-4b"),
        ("CLAUDE-best", "gpt-4o"),
        ("SMALL", "gpt-4o"),
        ("anthropic/claude-sonnet-4-5-20250929", "qwen3-4b"),
        ("x-5", "qwen3-4b"),
        ("x-6", None),
        ("", None),
        ("openai/", None),
        ("claude-*", "qwen3-4b"),
        ("a" * 100_000, None),
    ],
)
def test_what_a_name_means(asked: str, model: str | None) -> None:
    assert NAMES.resolve(asked) == model


def test_patterns_are_not_listed() -> None:
    assert NAMES.listed() == ("qwen3-4b", "gpt-4o", "org/Big", "GPT-4O", "small", "Claude-Best")


def test_a_pattern_takes_no_time_that_grows_faster_than_the_name() -> None:
    assert ModelNames(("m",), {"*a" * 30 + "b": "m"}).resolve("a" * 10_000) is None


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with client_of(make_proxy(aliases={"claude-*": "fake", "far": "gpt-far"})) as http:
        yield http


@pytest.mark.parametrize("name", ["FAKE", " fake ", "openai/fake", "claude-sonnet-4-5"])
async def test_every_endpoint_knows_a_model_by_its_other_names_and_says_its_own(
    http: Http, name: str
) -> None:
    messages = ask()["messages"]
    for path, body in (
        ("/v1/chat/completions", {"messages": messages}),
        ("/v1/messages", {"messages": messages, "max_tokens": 4}),
        ("/v1/messages/count_tokens", {"messages": messages}),
        ("/v1/responses", {"input": "hello"}),
        ("/v1/responses/input_tokens", {"input": "hello"}),
        ("/v1/completions", {"prompt": "hello"}),
        ("/tokenize", {"prompt": "hello"}),
        ("/tokenize", {"messages": messages}),
        ("/detokenize", {"tokens": [72]}),
    ):
        answer = await http.post(path, json={"model": name, **body})
        told = await answer.json()
        assert answer.status == 200, (path, told)
        assert told.get("model", "fake") == "fake"


async def test_an_upstream_is_asked_by_its_own_name(http: Http) -> None:
    for name in ("far", "GPT-FAR", "openai/gpt-far"):
        answer = await http.post("/v1/chat/completions", json=ask(model=name))
        assert answer.status == 200 and (await answer.json())["model"] == "gpt-far"
    answer = await http.post("/tokenize", json={"model": "far", "prompt": "x"})
    assert answer.status == 400


async def test_a_raw_upstream_is_too() -> None:
    async with mock_endpoints() as upstream:
        await raw_is_asked(upstream)


async def raw_is_asked(upstream: MockEndpoints) -> None:
    async with served(upstream, aliases={"gpt-*": "same"}) as (http, _):
        for name, model in (
            ("RAW", "org/up-1"),
            ("gpt-x", "same"),
            ("same", "same"),
            ("openai/Same", "same"),
        ):
            answer = await http.post("/v1/chat/completions", json=ask(model=name))
            assert answer.status == 200
            assert json.loads(upstream.seen[-1][1])["model"] == model


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/tokenize"])
async def test_an_unknown_name_is_told_what_is_served(http: Http, path: str) -> None:
    answer = await http.post(path, json={"model": "x" * 1000, "messages": [], "max_tokens": 1})
    message = (await answer.json())["error"]["message"]
    assert answer.status == 404 and message.endswith("Served here: `fake`, `gpt-far`, `far`.")
    assert len(message) < 300


async def test_of_many_the_first_are_told() -> None:
    aliases = {f"name-{n}": "fake" for n in range(100)}
    async with client_of(make_proxy(aliases=aliases)) as http:
        answer = await http.post("/v1/chat/completions", json=ask(model="no"))
        assert (await answer.json())["error"]["message"].endswith("`name-17` and 82 more.")
