"""A proxy with two served models: every endpoint has the tokens and the context of the model that it names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from tests.server.doubles import CharComposer, Http, Proxy, client_of, make_proxy

MESSAGES = [{"role": "user", "content": "hi"}]


class ShiftedComposer(CharComposer):
    """Another vocabulary: a character's token is one more than its code point."""

    def encode_prompt(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [token + 1 for token in super().encode_prompt(text, add_special_tokens=add_special_tokens)]

    def decode(self, ids: Sequence[int]) -> str:
        return super().decode([token - 1 for token in ids])


@dataclass
class Two:
    """The proxy, its client, and the backend of its second model."""

    proxy: Proxy
    http: Http
    fleet: FakeBackend

    async def ask(self, path: str, **body: Any) -> dict[str, Any]:
        response = await self.http.post(path, json=body)
        assert response.status == 200, await response.text()
        told: dict[str, Any] = await response.json()
        return told

    async def refused(self, path: str, **body: Any) -> tuple[int, str]:
        response = await self.http.post(path, json=body)
        return response.status, (await response.json())["error"]["message"]


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    proxy = make_proxy(aliases={"claude-*": "fleet", "small": "fleet"})
    fleet = FakeBackend(model="fleet", max_context=512)
    pipeline = Pipeline(
        models=[
            ServedModel.of(proxy.backend, proxy.composer),
            ServedModel.of(fleet, ShiftedComposer()),
        ],
        misses=FakeMisses(proxy.backend, upstreams=("gpt-far",), others={"fleet": fleet}),
        default_max_tokens=64,
    )
    proxy.components = replace(proxy.components, pipeline=pipeline)
    async with client_of(proxy) as http:
        yield Two(proxy, http, fleet)
    assert fleet.check() == []


async def test_all_are_listed_with_their_own_context(two: Two) -> None:
    listed = (await (await two.http.get("/v1/models")).json())["data"]
    assert [(m["id"], m["root"], m["owned_by"], m["max_model_len"]) for m in listed] == [
        ("fake", "fake", "kvproxy", 4096),
        ("fleet", "fleet", "kvproxy", 512),
        ("gpt-far", "gpt-far", "upstream", None),
        ("small", "fleet", "kvproxy", 512),
    ]


@pytest.mark.parametrize("name", ["fleet", "FLEET", "claude-opus-4", "kvproxy/fleet"])
async def test_a_fleet_answers_to_all_of_its_names(two: Two, name: str) -> None:
    told = await two.ask("/v1/chat/completions", model=name, messages=MESSAGES)
    assert told["model"] == "fleet"
    assert len(two.fleet.generations) == 1 and not two.proxy.backend.generations


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES}),
        ("/v1/completions", {"prompt": "Once"}),
        ("/v1/responses", {"input": "hi", "store": False}),
        ("/v1/messages", {"messages": MESSAGES, "max_tokens": 8}),
    ],
)
async def test_every_dialect_reaches_the_model_that_it_names(
    two: Two, path: str, body: dict[str, Any]
) -> None:
    assert (await two.ask(path, model="fleet", **body))["model"] == "fleet"
    assert (len(two.fleet.generations), len(two.proxy.backend.generations)) == (1, 0)
    assert (await two.ask(path, model="fake", **body))["model"] == "fake"
    assert (len(two.fleet.generations), len(two.proxy.backend.generations)) == (1, 1)


async def test_texts_become_the_tokens_of_the_model_that_is_named(two: Two) -> None:
    plain = {"prompt": "ab", "add_special_tokens": False}
    near = await two.ask("/tokenize", **plain)
    far = await two.ask("/tokenize", model="fleet", **plain)
    assert (near["tokens"], near["max_model_len"]) == ([97, 98], 4096)
    assert (far["tokens"], far["max_model_len"]) == ([98, 99], 512)
    assert await two.ask("/detokenize", tokens=[98, 99]) == {"prompt": "bc"}
    assert await two.ask("/detokenize", model="small", tokens=[98, 99]) == {"prompt": "ab"}


async def test_a_prompt_of_tokens_is_echoed_by_its_own_model(two: Two) -> None:
    told = await two.ask("/v1/completions", model="fleet", prompt=[98, 99], echo=True, max_tokens=2)
    assert told["choices"][0]["text"].startswith("ab")


async def test_the_context_is_the_model_s_own(two: Two) -> None:
    long = [{"role": "user", "content": "x" * 1000}]
    await two.ask("/v1/chat/completions", model="fake", messages=long, max_tokens=2)
    status, told = await two.refused("/v1/chat/completions", model="fleet", messages=long, max_tokens=2)
    assert status == 400 and "512" in told
    status, told = await two.refused("/detokenize", model="fleet", tokens=[98] * 513)
    assert status == 400 and "at most 512" in told


async def test_counts_are_of_the_model_s_own_template(two: Two) -> None:
    counted = await two.ask("/v1/messages/count_tokens", model="fleet", messages=MESSAGES)
    assert counted["input_tokens"] > 0
    counted = await two.ask("/v1/responses/input_tokens", model="fleet", input="hi")
    assert counted["input_tokens"] > 0
    for path, body in (
        ("/v1/messages/count_tokens", {"messages": MESSAGES}),
        ("/v1/responses/input_tokens", {"input": "hi"}),
        ("/tokenize", {"prompt": "a"}),
    ):
        status, told = await two.refused(path, model="gpt-far", **body)
        assert status == 400 and ("KV is managed here" in told or "fake, fleet" in told), path


async def test_a_model_without_reports_is_not_explained(two: Two) -> None:
    told = await two.ask("/kv/v1/explain", messages=MESSAGES)
    assert told["outcome"] == "miss"
    status, error = await two.refused("/kv/v1/explain", model="fleet", messages=MESSAGES)
    assert status == 404 and "explains no misses" in error
