"""``/v1/responses`` over HTTP, driven by OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseReasoningItem
from pydantic import BaseModel

from kvproxy.backends.fake.fake_backend import answer_to
from kvproxy.errors import Overloaded
from kvproxy.wire.responses.stored_response import StoredResponse
from tests.server.doubles import Http, Proxy, client_of, eventually, make_proxy

PATH = "/v1/responses"
TEXT = "The handbook says. " * 40
ALICE, BOB = "alice-key-of-some-length", "bob-key-of-some-length"
FIND: Any = {
    "type": "function",
    "name": "find",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
HANDBOOK: Any = {"role": "system", "content": [{"type": "kv_document", "document": "handbook@1"}]}


@asynccontextmanager
async def stock_client(http: Http, key: str = "unused") -> AsyncIterator[openai.AsyncOpenAI]:
    url = str(http.make_url("/v1"))
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        yield client


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[Proxy, openai.AsyncOpenAI]]:
    proxy = make_proxy(**options)
    async with client_of(proxy) as http, stock_client(http) as client:
        yield proxy, client


def asked(proxy: Proxy) -> tuple[int, ...]:
    """Return the tokens of the newest prompt, without the opening of the answer."""
    return proxy.backend.generations[-1].prompt.token_ids[:-1]


def text_of(item: Any) -> str:
    """Return the text of a message of one part."""
    (part,) = item.content
    text: str = part.text
    return text


def error_of(caught: pytest.ExceptionInfo[Any]) -> dict[str, Any]:
    body = caught.value.body
    assert isinstance(body, dict)
    return body


async def test_the_stock_client_gets_an_answer() -> None:
    async with running() as (proxy, client):
        response = await client.responses.create(model="fake", input="hello")
    Response.model_validate(response.model_dump(), strict=True)
    assert response.output_text == "".join(answer_to(proxy.backend.generations[-1].prompt.token_ids))
    assert response.status == "completed" and response.completed_at is not None
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 0


async def test_a_document_hits_and_says_so() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http, stock_client(http) as client:
        await http.post("/kv/v1/documents", json={"id": "handbook", "text": TEXT})
        question: Any = {"role": "user", "content": "What?"}
        answer = await client.responses.with_raw_response.create(model="fake", input=[HANDBOOK, question])
    assert answer.headers["Cache-Status"].startswith("kvproxy; hit")
    usage = answer.parse().usage
    assert usage is not None
    assert usage.input_tokens_details.cached_tokens == len(TEXT) + 1
    assert usage.input_tokens == len(asked(proxy)) + 1


async def test_the_stock_client_streams_the_same_answer() -> None:
    async with running() as (_, client):
        whole = await client.responses.create(model="fake", input="hello", temperature=0)
        async with client.responses.stream(model="fake", input="hello", temperature=0) as stream:
            kinds = [event.type async for event in stream]
            response = await stream.get_final_response()
        stored = await client.responses.retrieve(response.id)
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert response.output_text == whole.output_text == stored.output_text


async def test_the_wire_of_a_stream() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        response = await http.post(
            PATH, json={"model": "fake", "input": "x", "stream": True, "max_output_tokens": 2}
        )
        assert response.content_type == "text/event-stream"
        body = await response.text()
    blocks = [block.split("\n") for block in body.split("\n\n") if block]
    assert [name.removeprefix("event: response.") for name, _ in blocks] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "incomplete",
    ]  # fmt: skip
    last = json.loads(blocks[-1][1].removeprefix("data: "))["response"]
    assert last["incomplete_details"] == {"reason": "max_output_tokens"}
    assert "[DONE]" not in body


async def test_a_conversation_goes_on_where_it_stood() -> None:
    async with running() as (proxy, client):
        first = await client.responses.create(model="fake", input="one", instructions="Be brief.")
        before = asked(proxy)
        second = await client.responses.create(model="fake", input="two", previous_response_id=first.id)
        third = await client.responses.create(model="fake", input="three", previous_response_id=second.id)
        told = await client.responses.input_items.list(third.id, order="asc")
    system = before[: before.index(2_000_001)]
    answer = tuple(map(ord, first.output_text))
    assert asked(proxy)[: len(before) - len(system) + 1 + len(answer)] == (
        *before[len(system) :], 2_000_002, *answer,
    )  # fmt: skip
    texts = [text_of(item) for item in told.data]
    assert texts == ["one", first.output_text, "two", second.output_text, "three"]


async def test_a_deleted_response_does_not_break_those_after_it() -> None:
    async with running() as (_, client):
        first = await client.responses.create(model="fake", input="one")
        second = await client.responses.create(model="fake", input="two", previous_response_id=first.id)
        await client.responses.delete(first.id)
        third = await client.responses.create(model="fake", input="three", previous_response_id=second.id)
        told = await client.responses.input_items.list(third.id)
    assert len(told.data) == 5


async def test_a_tool_round_trip() -> None:
    async with running() as (proxy, client):
        proxy.backend.say_next('<tool_call>\n{"name": "find", "arguments": {"city": "LA"}}\n</tool_call>')
        first = await client.responses.create(
            model="fake", input="Weather?", tools=[FIND], tool_choice="required"
        )
        call = first.output[0]
        assert isinstance(call, ResponseFunctionToolCall)
        assert (call.name, json.loads(call.arguments)) == ("find", {"city": "LA"})
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        second = await client.responses.create(
            model="fake", input=[result], tools=[FIND], previous_response_id=first.id
        )
        by_hand = [{"role": "user", "content": "Weather?"}, call.model_dump(), result]
        whole: Any = await client.responses.create(model="fake", input=by_hand, tools=[FIND])
    assert second.status == "completed"
    prompts = [generation.prompt for generation in proxy.backend.generations]
    assert prompts[1] == prompts[2]
    assert whole.output_text == second.output_text


async def test_a_streamed_call() -> None:
    async with running() as (proxy, client):
        proxy.backend.say_next('<tool_call>\n{"name": "find", "arguments": {"city": "LA"}}\n</tool_call>')
        async with client.responses.stream(model="fake", input="Weather?", tools=[FIND]) as stream:
            events = [event async for event in stream]
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert [e.arguments for e in done] == ["".join(pieces)] == ['{"city": "LA"}']


async def test_a_forced_function() -> None:
    async with running() as (proxy, client):
        choice: Any = {"type": "function", "name": "find"}
        response = await client.responses.create(model="fake", input="x", tools=[FIND], tool_choice=choice)
    constraint = proxy.backend.generations[-1].constraint
    assert constraint is not None and constraint.choice.names == ("find",)
    assert [item.type for item in response.output] == ["function_call"]
    assert response.tool_choice.model_dump() == choice  # type: ignore[union-attr]  # not one of the strings


class Place(BaseModel):
    city: str


async def test_parsed_output() -> None:
    async with running() as (proxy, client):
        proxy.backend.say_next('{"city": "LA"}')
        response = await client.responses.parse(model="fake", input="x", text_format=Place)
    assert response.output_parsed == Place(city="LA")
    assert proxy.backend.generations[-1].constraint is not None


async def test_reasoning_comes_first_and_goes_back() -> None:
    async with running() as (proxy, client):
        proxy.composer.reasoning = "may"
        proxy.backend.say_next("<think>\nhm\n</think>\n\nYes.")
        first = await client.responses.create(model="fake", input="Sure?")
        proxy.backend.say_next("<think>\nhm\n</think>\n\nYes.")
        async with client.responses.stream(model="fake", input="Sure?") as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_response()
        again: Any = [*(item.model_dump() for item in first.output), {"role": "user", "content": "Why?"}]
        last = await client.responses.create(model="fake", input=again)
        told = await client.responses.input_items.list(last.id, order="asc")
    assert [item.type for item in first.output] == ["reasoning", "message"]
    thought = told.data[0]
    assert isinstance(thought, ResponseReasoningItem) and thought == first.output[0]
    assert thought.content is not None and thought.content[0].text == "hm"
    assert first.output_text == streamed.output_text == "Yes."
    assert first.usage is not None and first.usage.output_tokens_details.reasoning_tokens > 0
    assert "response.reasoning_text.delta" in kinds


async def test_marks_and_hints_reach_the_engine() -> None:
    async with running() as (proxy, client):
        marked = {"type": "input_text", "text": "keep", "prompt_cache_breakpoint": {"mode": "explicit"}}
        items: Any = [{"role": "user", "content": [marked]}, {"role": "user", "content": "not this"}]
        fields: Any = {
            "prompt_cache_options": {"mode": "explicit"},
            "prompt_cache_key": "k",
            "cache_salt": "s",
        }
        response = await client.responses.create(model="fake", input=items, extra_body=fields)
    (generation,) = proxy.backend.generations
    assert generation.keep_until == generation.prompt.marks[0] == 1 + len("keep")
    assert generation.caller.salt is not None
    assert response.prompt_cache_key == "k"
    assert response.usage is not None
    assert response.usage.input_tokens_details.cache_write_tokens == 1 + len("keep")


async def test_logprobs_come_with_the_text() -> None:
    async with running() as (_, client):
        response = await client.responses.create(
            model="fake", input="x", top_logprobs=2, include=["message.output_text.logprobs"]
        )
    message = response.output[0]
    assert message.type == "message" and message.content[0].type == "output_text"
    logprobs = message.content[0].logprobs
    assert logprobs is not None
    assert "".join(logprob.token for logprob in logprobs) == response.output_text
    assert {len(logprob.top_logprobs) for logprob in logprobs} == {2}


async def test_a_reference_stands_for_a_stored_item() -> None:
    async with running() as (proxy, client):
        first = await client.responses.create(model="fake", input="one")
        items: Any = [
            {"role": "user", "content": "one"},
            {"type": "item_reference", "id": first.output[0].id},
            {"role": "user", "content": "two"},
        ]
        await client.responses.create(model="fake", input=items)
        by_reference = asked(proxy)
        await client.responses.create(model="fake", input="two", previous_response_id=first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model="fake", input=[{"type": "item_reference", "id": "msg_gone"}])
    assert by_reference == asked(proxy)


async def test_store_false_leaves_nothing() -> None:
    async with running() as (proxy, client):
        response = await client.responses.create(model="fake", input="x", store=False)
        async for _ in await client.responses.create(model="fake", input="x", store=False, stream=True):
            pass
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)
    assert proxy.responses.records == {}


async def test_delete() -> None:
    async with running() as (_, client):
        response = await client.responses.create(model="fake", input="x")
        assert await client.responses.retrieve(response.id) == response
        await client.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.delete(response.id)
    assert error_of(caught)["code"] == "response_not_found"


async def test_a_response_is_readable_by_its_own_caller_only() -> None:
    proxy = make_proxy(api_keys=(("alice", ALICE), ("bob", BOB)))
    async with client_of(proxy) as http, stock_client(http, ALICE) as alice, stock_client(http, BOB) as bob:
        response = await alice.responses.create(model="fake", input="secret")
        stranger: Any = [{"type": "item_reference", "id": response.output[0].id}]
        for attempt in (
            bob.responses.retrieve(response.id),
            bob.responses.delete(response.id),
            bob.responses.cancel(response.id),
            bob.responses.create(model="fake", input="x", previous_response_id=response.id),
            bob.responses.create(model="fake", input=stranger),
        ):
            with pytest.raises((openai.NotFoundError, openai.BadRequestError), match="not found"):
                await attempt
        assert (await alice.responses.retrieve(response.id)).id == response.id


async def test_input_items_page_by_page() -> None:
    async with running() as (_, client):
        items: Any = [{"role": "user", "content": letter} for letter in "abcde"]
        response = await client.responses.create(model="fake", input=items)
        listed = client.responses.input_items.list(response.id, limit=2, order="asc")
        texts = [text_of(item) async for item in listed]
        assert texts == list("abcde")
        for query in ({"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "msg_no"}):
            with pytest.raises(openai.BadRequestError) as caught:
                await client.responses.input_items.list(response.id, extra_query=query)
            assert error_of(caught)["param"] == next(iter(query))


async def test_a_response_cannot_be_cancelled_or_streamed_again() -> None:
    async with running() as (_, client):
        response = await client.responses.create(model="fake", input="x")
        with pytest.raises(openai.BadRequestError, match="synchronous"):
            await client.responses.cancel(response.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.retrieve(response.id, stream=True)
        with pytest.raises(openai.NotFoundError):
            await client.responses.cancel("resp_unknown")
    assert error_of(caught)["param"] == "stream"


async def test_tokens_are_counted_without_an_answer() -> None:
    async with running() as (proxy, client):
        response = await client.responses.create(model="fake", input="one", instructions="Be brief.")
        assert response.usage is not None
        made = len(proxy.backend.generations)
        counted = await client.responses.input_tokens.count(
            model="fake", input="one", instructions="Be brief."
        )
        more = await client.responses.input_tokens.count(
            model="fake", input="two", previous_response_id=response.id
        )
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.input_tokens.count(model="gpt-far", input="x")
    assert counted.input_tokens == response.usage.input_tokens
    assert more.input_tokens > counted.input_tokens
    assert len(proxy.backend.generations) == made
    assert error_of(caught)["param"] == "model"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"previous_response_id": "resp_no"}, "previous_response_not_found", "previous_response_id"),
        ({"background": True}, "unsupported_parameter", "background"),
        ({"input": "x" * 20_000}, "context_length_exceeded", "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "unsupported_parameter",
         "input[0].content[0].type"),
    ],
)  # fmt: skip
async def test_refusals(fields: dict[str, Any], code: str, param: str) -> None:
    async with running() as (proxy, client):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                await client.responses.create(**{"model": "fake", "input": "x", "stream": stream, **fields})
            assert (error_of(caught)["code"], error_of(caught)["param"]) == (code, param)
    assert proxy.responses.records == {}


async def test_a_document_that_is_not_there() -> None:
    async with running() as (_, client):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.create(model="fake", input=[HANDBOOK])
    assert error_of(caught)["param"] == "input"


async def test_a_busy_engine_says_when_to_come_back() -> None:
    async with running() as (proxy, client):
        proxy.backend.fail_next(Overloaded("Busy.", retry_after_s=3))
        with pytest.raises(openai.RateLimitError) as caught:
            await client.responses.create(model="fake", input="x")
    assert caught.value.response.headers["Retry-After"] == "3"


async def test_a_failure_in_the_middle_of_a_stream_is_a_failed_response() -> None:
    async with running() as (proxy, client):
        proxy.backend.fail_next(RuntimeError("secret"), after_words=2)
        events = [e async for e in await client.responses.create(model="fake", input="x", stream=True)]
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None and "secret" not in last.response.error.message
    assert proxy.responses.records == {}


async def test_a_failure_behind_a_keepalive_is_an_error_event() -> None:
    async with running(keepalive_s=0.01, timeout_s=0.1, start_delay_s=5.0) as (proxy, client):
        events = [e async for e in await client.responses.create(model="fake", input="x", stream=True)]
    assert [event.type for event in events] == ["error"]
    assert events[0].type == "error" and events[0].code == "timeout"
    assert proxy.responses.records == {}


async def test_a_client_that_left_stores_nothing() -> None:
    proxy = make_proxy(token_delay_s=0.02)
    async with client_of(proxy) as http:
        response = await http.post(PATH, json={"model": "fake", "input": "x", "stream": True})
        await response.content.readline()
        response.close()
        await eventually(lambda: not proxy.backend.running)
    assert proxy.responses.records == {}


async def test_what_is_stored_holds_the_whole_conversation() -> None:
    async with running() as (proxy, client):
        first = await client.responses.create(model="fake", input="one")
        second = await client.responses.create(model="fake", input="two", previous_response_id=first.id)
    records = {id: StoredResponse.decode(record) for (_, id), record in proxy.responses.records.items()}
    one, two = records[first.id], records[second.id]
    assert one is not None and two is not None
    assert two.input[:2] == one.conversation
    assert two.response["previous_response_id"] == first.id


@pytest.mark.parametrize("record", [b"", b"\xff{", b"[]", b'{"response": 1, "input": []}', b'{"input": 1}'])
async def test_a_record_that_cannot_be_read_is_not_found(record: bytes) -> None:
    async with running() as (proxy, client):
        done = await client.responses.create(model="fake", input="one")
        ((scope, _),) = proxy.responses.records
        proxy.responses.records[scope, done.id] = record
        for path in ("", "/input_items"):
            response = await client._client.get(f"{client.base_url}responses/{done.id}{path}")
            assert response.status_code == 404 and response.json()["error"]["code"] == "response_not_found"
        with pytest.raises(openai.BadRequestError, match="not found"):
            await client.responses.create(model="fake", input="two", previous_response_id=done.id)


async def test_an_upstream_is_asked_in_its_own_words() -> None:
    proxy = make_proxy()
    body = {"model": "gpt-far", "input": "x", "tools": [{"type": "web_search"}], "new": 1}
    async with client_of(proxy) as http:
        response = await http.post(PATH, json=body)
        assert response.status == 200
    assert proxy.responses.records == {}
    assert proxy.backend.generations == []
