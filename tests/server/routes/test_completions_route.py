"""Text completions over HTTP, on the fake backend."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from kvproxy.backends.fake.fake_backend import answer_to
from kvproxy.engine.loop.fairness.places import Places
from kvproxy.errors import Overloaded
from tests.server.doubles import client_of, make_proxy

URL = "/v1/completions"


def said(prompt: str) -> str:
    return "".join(answer_to(tuple(map(ord, prompt))))


def body(prompt: Any = "Hello", **fields: Any) -> dict[str, Any]:
    return {"model": "fake", "prompt": prompt, "max_tokens": 60, **fields}


def events_of(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_one_prompt() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        response = await http.post(URL, json=body())
        answer = await response.json()
    assert answer["id"].startswith("cmpl-") and answer["object"] == "text_completion"
    [choice] = answer["choices"]
    assert choice == {"index": 0, "text": said("Hello"), "logprobs": None, "finish_reason": "stop"}
    assert answer["usage"]["prompt_tokens"] == 5
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert response.headers["Cache-Status"].startswith("kvproxy; fwd=miss")
    assert proxy.backend.generations[0].sampling.max_tokens == 60


async def test_a_second_reader_hits() -> None:
    prompt = "x" * 600
    async with client_of(make_proxy()) as http:
        await http.post(URL, json=body(prompt))
        response = await http.post(URL, json=body(prompt + " and more"))
        answer = await response.json()
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 600


async def test_several_prompts_and_choices() -> None:
    async with client_of(make_proxy()) as http:
        answer = await (await http.post(URL, json=body(["a", "bb"], n=2))).json()
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]
    assert [c["text"] for c in answer["choices"]] == [said("a"), said("a"), said("bb"), said("bb")]
    assert answer["usage"]["prompt_tokens"] == 3
    assert answer["usage"]["completion_tokens"] == 2 * (len(answer_to((97,))) + len(answer_to((98, 98))))


async def test_token_ids_and_echo() -> None:
    async with client_of(make_proxy()) as http:
        ids = await (await http.post(URL, json=body([[97], [98, 98]]))).json()
        echoed = await (await http.post(URL, json=body(["a", "bb"], echo=True))).json()
        echoed_ids = await (await http.post(URL, json=body([98, 98], echo=True))).json()
    assert [c["text"] for c in ids["choices"]] == [said("a"), said("bb")]
    assert [c["text"] for c in echoed["choices"]] == ["a" + said("a"), "bb" + said("bb")]
    assert echoed_ids["choices"][0]["text"] == "bb" + said("bb")


@pytest.mark.parametrize("prompt", ["a", ["a"], ["a", "bb"]])
@pytest.mark.parametrize("usage", [False, True])
async def test_streams_are_the_whole_answer_in_pieces(prompt: Any, usage: bool) -> None:
    asked = body(prompt, n=2, echo=True)
    async with client_of(make_proxy()) as http:
        whole = await (await http.post(URL, json=asked)).json()
        options = {"stream_options": {"include_usage": True}} if usage else {}
        streamed = await http.post(URL, json={**asked, "stream": True, **options})
        *chunks, done = events_of(await streamed.text())
    assert done == "[DONE]" and streamed.headers["Cache-Status"].startswith("kvproxy; ")
    if usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
        assert last["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
    texts = [""] * len(whole["choices"])
    reasons: list[str | None] = [None] * len(texts)
    for chunk in chunks:
        [choice] = chunk["choices"]
        texts[choice["index"]] += choice["text"]
        reasons[choice["index"]] = choice["finish_reason"] or reasons[choice["index"]]
    assert texts == [c["text"] for c in whole["choices"]]
    assert reasons == [c["finish_reason"] for c in whole["choices"]]


async def test_the_stock_client() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        url = str(http.make_url("/v1"))
        async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
            answer = await client.completions.create(
                model="fake", prompt="Hello", max_tokens=3, logprobs=2, seed=1
            )
            stream = await client.completions.create(model="fake", prompt="Hello", max_tokens=3, stream=True)
            text = "".join([chunk.choices[0].text async for chunk in stream])
    [choice] = answer.choices
    assert choice.finish_reason == "length" and choice.text == text
    assert choice.logprobs is not None and choice.logprobs.tokens is not None
    assert "".join(choice.logprobs.tokens) == choice.text
    assert proxy.backend.generations[0].sampling.logprobs == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_ends_all_prompts(stream: bool) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        proxy.backend.fail_next(Overloaded("busy", retry_after_s=3))
        response = await http.post(URL, json=body(["a", "bb", "ccc"], stream=stream))
        assert response.status == 429 and response.headers["Retry-After"] == "3"
        assert (await response.json())["error"]["code"] == "engine_busy"


async def test_a_failure_at_a_later_prompt_is_the_streams_last_event() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        response = await http.post(URL, json=body(["a", [1]], stream=True))
        assert response.status == 400  # prompts are of one kind
        response = await http.post(URL, json=body(["a", "b" * 10**6], stream=True))
        events = events_of(await response.text())
    assert events[0]["choices"][0]["index"] == 0
    assert events[-1]["error"]["code"] == "context_length_exceeded"


async def test_upstream_models_pass() -> None:
    proxy = make_proxy()
    asked = {"model": "gpt-far", "prompt": {"odd": 1}, "suffix": "x"}
    async with client_of(proxy) as http:
        response = await http.post(URL, json=asked)
    assert response.status == 200 and response.headers["Cache-Status"] == "kvproxy; fwd=bypass"
    assert proxy.misses.bodies == [asked]


async def test_the_time_limit_is_for_all_prompts_together() -> None:
    proxy = make_proxy(timeout_s=0.3, token_delay_s=0.03)
    async with client_of(proxy) as http:
        response = await http.post(URL, json=body([f"prompt {i}" for i in range(32)], max_tokens=5))
        assert response.status == 504 and (await response.json())["error"]["code"] == "timeout"


@pytest.mark.parametrize("stream", [False, True])
async def test_prompts_and_their_choices_are_not_in_the_engine_all_at_once(stream: bool) -> None:
    proxy = make_proxy()
    proxy.backend.places = Places(8)
    async with client_of(proxy) as http:
        response = await http.post(URL, json=body(list("abcdefghij"), n=3, stream=stream))
        assert response.status == 200 and len(await response.read()) > 1000
        refused = await http.post(URL, json=body(["a", "b"], n=9, stream=stream))
        assert refused.status == 400 and (await refused.json())["error"]["param"] == "n"
    assert len(proxy.backend.generations) == 30 and proxy.backend.check() == []
