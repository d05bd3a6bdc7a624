"""The parts of an answer over HTTP with OpenAI's client: calls, reasoning, choices, logprobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from kvproxy.core import IsolateBy
from kvproxy.server.auth import Keyring
from tests.server.doubles import Http, Proxy, ask, client_of, make_proxy

CHAT = "/v1/chat/completions"
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "And in Bern?"}]


@asynccontextmanager
async def stock_client(proxy: Proxy) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        client_of(proxy) as http,
        openai.AsyncOpenAI(base_url=str(http.make_url("/v1")), api_key="x", max_retries=0) as client,
    ):
        yield client


async def chunks_of(http: Http, body: dict[str, Any]) -> list[Any]:
    response = await http.post(CHAT, json={**body, "stream": True})
    assert response.status == 200
    events = [
        x.removeprefix("data: ") for x in (await response.text()).split("\n\n") if x.startswith("data: ")
    ]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(x) for x in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks


async def test_a_tool_round_trip() -> None:
    proxy = make_proxy()
    proxy.backend.say_next("Let me see.\n" + CALL)
    proxy.backend.say_next("Sunny.")
    async with stock_client(proxy) as client:
        first = await client.chat.completions.create(model="fake", messages=QUESTION, tools=[WEATHER])
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        assert message.content == "Let me see." and message.tool_calls is not None
        (call,) = message.tool_calls
        assert call.type == "function" and call.id.startswith("call_")
        assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Bern"}')
        history: Any = [
            *QUESTION,
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sunny, 20 degrees"},
        ]
        second = await client.chat.completions.create(model="fake", messages=history, tools=[WEATHER])
    assert second.choices[0].message.content == "Sunny."
    assert second.choices[0].finish_reason == "stop"
    assert second.usage is not None and second.usage.prompt_tokens_details is not None
    # All of the first prompt but the last token: the assistant's header is where both go on.
    assert second.usage.prompt_tokens_details.cached_tokens == first.usage.prompt_tokens  # type: ignore[union-attr]  # read above


async def test_streamed_calls_are_put_together_by_the_stock_client() -> None:
    proxy = make_proxy()
    proxy.backend.say_next(f"{CALL}\n{CALL}")
    async with (
        stock_client(proxy) as client,
        client.chat.completions.stream(model="fake", messages=QUESTION, tools=[WEATHER]) as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None and len({call.id for call in calls}) == 2
    told = [call.function.arguments for call in calls if call.type == "function"]
    assert told == ['{"city": "Bern"}'] * 2
    assert final.choices[0].finish_reason == "tool_calls" and not final.choices[0].message.content
    assert kinds.count("tool_calls.function.arguments.done") == 2


async def test_the_wire_of_a_streamed_call() -> None:
    proxy = make_proxy()
    proxy.backend.say_next(CALL)
    async with client_of(proxy) as http:
        body = ask(tools=[WEATHER], stream_options={"include_usage": True})
        chunks = await chunks_of(http, body)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] > 0
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    (first,) = choices[1]["delta"]["tool_calls"]
    assert first["index"] == 0 and first["type"] == "function" and first["id"].startswith("call_")
    assert first["function"] == {"name": "weather", "arguments": ""}
    rest = [call for choice in choices[2:-1] for call in choice["delta"]["tool_calls"]]
    assert all(call.keys() == {"index", "function"} for call in rest)
    assert "".join(call["function"]["arguments"] for call in rest) == '{"city": "Bern"}'
    assert choices[-1]["delta"] == {} and choices[-1]["finish_reason"] == "tool_calls"
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
async def test_a_forced_call_is_made_without_a_plan(choice: Any) -> None:
    proxy = make_proxy()
    async with stock_client(proxy) as client:
        answer = await client.chat.completions.create(
            model="fake", messages=QUESTION, tools=[WEATHER], tool_choice=choice
        )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    (call,) = calls
    assert call.type == "function" and json.loads(call.function.arguments).keys() == {"city"}
    constraint = proxy.backend.generations[0].constraint
    assert constraint is not None and constraint.choice.mode == "required"


async def test_calls_stay_text_where_none_are_wanted() -> None:
    proxy = make_proxy()
    proxy.backend.say_next(CALL)
    async with stock_client(proxy) as client:
        answer = await client.chat.completions.create(
            model="fake", messages=QUESTION, tools=[WEATHER], tool_choice="none"
        )
    assert answer.choices[0].message.content == CALL and answer.choices[0].finish_reason == "stop"


class City(BaseModel):
    name: str
    people: int
    rivers: list[str]


async def test_the_stock_client_parses_structured_output() -> None:
    async with stock_client(make_proxy()) as client:
        answer = await client.chat.completions.parse(model="fake", messages=QUESTION, response_format=City)
    assert answer.choices[0].message.parsed == City(name="text", people=0, rivers=[])


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_are_told_apart(stream: bool) -> None:
    proxy = make_proxy()
    proxy.composer.reasoning = "open"
    proxy.backend.say_next("Hm, let me think.\n</think>\n\nIt is 4.")
    async with client_of(proxy) as http:
        body = ask(reasoning_effort="low", stream_options={"include_usage": True} if stream else None)
        if stream:
            *chunks, last = await chunks_of(http, body)
            deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
            thought = "".join(delta.get("reasoning_content", "") for delta in deltas)
            said = "".join(delta.get("content", "") for delta in deltas)
            usage = last["usage"]
        else:
            answer = await (await http.post(CHAT, json=body)).json()
            message = answer["choices"][0]["message"]
            thought, said, usage = message["reasoning_content"], message["content"], answer["usage"]
    assert (thought, said) == ("Hm, let me think.", "It is 4.")
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 5
    assert usage["completion_tokens"] == 8


async def test_three_choices() -> None:
    proxy = make_proxy()
    for text in ("one two three", CALL, "three"):
        proxy.backend.say_next(text)
    async with stock_client(proxy) as client:
        answer = await client.chat.completions.create(model="fake", messages=QUESTION, n=3, tools=[WEATHER])
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [choice.message.content for choice in answer.choices] == ["one two three", None, "three"]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "tool_calls", "stop"]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(proxy.backend.generations[0].prompt.token_ids)
    assert answer.usage.completion_tokens == 3 + 7 + 1


async def test_three_streamed_choices() -> None:
    proxy = make_proxy(token_delay_s=0.001)
    for text in ("a b c", "d e", "f"):
        proxy.backend.say_next(text)
    async with client_of(proxy) as http:
        chunks = await chunks_of(http, ask(n=3, stream_options={"include_usage": True}))
    assert [chunk["choices"][0]["index"] for chunk in chunks[:3]] == [0, 1, 2]
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks[:3])
    for index, text in enumerate(("a b c", "d e", "f")):
        own = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == index]
        assert "".join(c["delta"].get("content", "") for c in own) == text
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == ["stop"]
        assert own[-1]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 6


async def test_one_of_several_choices_that_fails_ends_the_stream() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        proxy.backend.fail_next(RuntimeError("late"), after_words=2)
        response = await http.post(CHAT, json=ask(n=2, stream=True))
        last = (await response.text()).split("\n\n")[-2]
    assert "error" in json.loads(last.removeprefix("data: "))


async def test_logprobs() -> None:
    proxy = make_proxy()
    proxy.backend.say_next("good day")
    proxy.backend.say_next("good day")
    async with stock_client(proxy) as client:
        answer = await client.chat.completions.create(
            model="fake", messages=QUESTION, logprobs=True, top_logprobs=2
        )
        stream = await client.chat.completions.create(
            model="fake", messages=QUESTION, logprobs=True, top_logprobs=2, stream=True
        )
        streamed = [x.choices[0].logprobs async for x in stream]
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert [token.token for token in logprobs.content] == ["good ", "day"]
    for token in logprobs.content:
        assert bytes(token.bytes or ()).decode() == token.token
        assert len(token.top_logprobs) == 2 and token.top_logprobs[0].logprob == token.logprob < 0
    assert [t for x in streamed if x is not None for t in x.content or ()] == logprobs.content


async def test_explicit_marks_keep_nothing_behind_them() -> None:
    proxy = make_proxy()
    marked = {"type": "text", "text": "rules " * 60, "prompt_cache_breakpoint": {"mode": "explicit"}}
    async with client_of(proxy) as http:
        for question, cached in (("one", 0), ("two", 361), ("two", 361)):
            messages = [{"role": "system", "content": [marked]}, {"role": "user", "content": question}]
            options = {"mode": "explicit", "ttl": "30m"}
            body = ask(prompt_cache_options=options) | {"messages": messages}
            usage = (await (await http.post(CHAT, json=body)).json())["usage"]
            assert usage["prompt_tokens_details"]["cached_tokens"] == cached
        assert usage["prompt_tokens_details"]["cache_write_tokens"] == 0


async def test_a_cache_key_separates_nothing() -> None:
    """Agents send a new session id in it: their second session must hit."""
    keys: list[dict[str, Any]] = [{"prompt_cache_key": key} for key in ("a", "b", None)]
    assert await cached_in_turn(keys) == [0, 302, 302]


async def test_a_cache_salt_keeps_prompts_apart() -> None:
    salts: list[dict[str, Any]] = [{"cache_salt": "a"}, {"cache_salt": "b"}, {"cache_salt": "a"}, {}]
    assert await cached_in_turn(salts) == [0, 0, 302, 0]
    nested: list[dict[str, Any]] = [{"prompt_cache_options": {"cache_salt": "a"}}, {"cache_salt": "a"}]
    assert await cached_in_turn(nested) == [0, 302]


async def test_an_operator_may_let_the_cache_key_be_a_salt() -> None:
    keys = [{"prompt_cache_key": key} for key in ("a", "b", "a")]
    assert await cached_in_turn(keys, isolate_by="prompt_cache_key") == [0, 0, 302]
    salted = [{"prompt_cache_key": "a", "cache_salt": "s"}, {"prompt_cache_key": "b", "cache_salt": "s"}]
    assert await cached_in_turn(salted, isolate_by="prompt_cache_key") == [0, 302]


@pytest.mark.parametrize("salt", ["", 7, ["a"]])
async def test_a_salt_that_is_none_is_refused_rather_than_ignored(salt: object) -> None:
    async with client_of(make_proxy()) as http:
        answer = await http.post(CHAT, json=ask(cache_salt=salt))
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == "cache_salt"


async def cached_in_turn(fields: Sequence[dict[str, Any]], isolate_by: IsolateBy | None = None) -> list[int]:
    """Return ``cached_tokens`` of the same prompt, sent with each of ``fields`` by one API key."""
    proxy = make_proxy()
    key = "key-of-ann-0123456789"
    keyring = Keyring([("ann", key)], {"ann": isolate_by})
    proxy = replace(proxy, components=replace(proxy.components, keyring=keyring))
    counts: list[int] = []
    async with client_of(proxy) as http:
        for more in fields:
            headers = {"Authorization": f"Bearer {key}"}
            answer = await (await http.post(CHAT, json=ask("x" * 300, **more), headers=headers)).json()
            counts.append(int(answer["usage"]["prompt_tokens_details"]["cached_tokens"]))
    return counts


async def test_deprecated_functions() -> None:
    proxy = make_proxy()
    proxy.backend.say_next(CALL)
    async with client_of(proxy) as http:
        body = ask(functions=[WEATHER["function"]])
        answer = await (await http.post(CHAT, json=body)).json()
        assert answer["choices"][0]["finish_reason"] == "function_call"
        call = answer["choices"][0]["message"]["function_call"]
        assert call == {"name": "weather", "arguments": '{"city": "Bern"}'}
        result = {"role": "function", "name": "weather", "content": "sunny"}
        history = [*body["messages"], answer["choices"][0]["message"], result]
        assert (await http.post(CHAT, json={**body, "messages": history})).status == 200


async def test_a_request_that_takes_too_long_is_504_or_ends_its_stream() -> None:
    proxy = make_proxy(timeout_s=0.1, token_delay_s=0.03)
    async with client_of(proxy) as http:
        proxy.backend.gate = asyncio.Event()
        for stream in (False, True):
            response = await http.post(CHAT, json=ask(stream=stream))
            assert response.status == 504
            assert (await response.json())["error"]["code"] == "timeout"
        proxy.backend.gate = None
        response = await http.post(CHAT, json=ask(stream=True))
        assert response.status == 200
        *_, last, end = (await response.text()).split("\n\n")
        assert end == "" and json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout"


async def test_the_request_id_is_echoed() -> None:
    async with client_of(make_proxy()) as http:
        for stream in (False, True):
            sent = await http.post(CHAT, json=ask(stream=stream), headers={"x-request-id": "mine-1"})
            assert sent.headers["x-request-id"] == "mine-1"
            assert (await http.post(CHAT, json=ask(stream=stream))).headers["x-request-id"].startswith("req_")


async def test_what_became_of_a_prediction_is_in_the_usage_whole_and_streamed() -> None:
    body = {
        "model": "fake",
        "messages": QUESTION,
        "n": 2,
        "prediction": {"type": "content", "content": [{"type": "text", "text": "abc" * 10}]},
    }
    proxy = make_proxy()
    for _ in range(2):
        proxy.backend.say_next("one two three")
        proxy.backend.say_next("one two")
    async with client_of(proxy) as http:
        whole = await (await http.post(CHAT, json=body)).json()
        chunks = await chunks_of(http, {**body, "stream_options": {"include_usage": True}})
        without = await (await http.post(CHAT, json={**body, "prediction": None})).json()
        refused = await http.post(CHAT, json={**body, "prediction": {"type": "content", "content": 5}})
        error = (await refused.json())["error"]
    counts = {"accepted_prediction_tokens": 5, "rejected_prediction_tokens": 55}
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0, **counts}
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0, **counts}
    assert without["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert (refused.status, error["param"]) == (400, "prediction.content")
