"""Anthropic's own client, pointed at the proxy: what its users do with a document and a tool."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Literal

from anthropic import (
    Anthropic,
    AsyncAnthropic,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    beta_async_tool,
    beta_tool,
)
from pydantic import BaseModel

URL, KEY, MODEL = os.environ["KVPROXY_URL"], os.environ["KVPROXY_KEY"], os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")

GREEDY = {"temperature": 0}
"""The client's version 2 has no parameter of its own for it."""

INSTRUCTIONS = "You answer in one short sentence, from the text above and from nothing else."
SYSTEM: list[Any] = [
    {"type": "text", "text": TEXT, "cache_control": {"type": "ephemeral"}},
    {"type": "text", "text": INSTRUCTIONS},
]
QUESTION: list[Any] = [{"role": "user", "content": "What is this license for?"}]

WEATHER: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Oslo", "Lima"]},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
    "strict": True,
    "cache_control": {"type": "ephemeral"},
}
ASK_WEATHER: Any = {"role": "user", "content": "What is the weather in Oslo, in celsius?"}


class Verdict(BaseModel):
    kind: Literal["license", "novel", "recipe"]
    free: bool
    grade: Literal["low", "middle", "high"]


def main() -> None:
    client = Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=120)
    cached = document_question(client)
    counted(client)
    prewarmed(client)
    streamed(client)
    documents_as_blocks(client)
    results = tool_round_trip(client) + streamed_tool(client)
    structured(client)
    results += tool_runner(client)
    errors(client)
    results += asyncio.run(asynchronous())
    print(json.dumps({"cached_tokens": cached, "tool_results": results}))


def document_question(client: Anthropic) -> int:
    first = client.messages.create(model=MODEL, max_tokens=24, system=SYSTEM, messages=QUESTION)
    assert first.type == "message" and first.role == "assistant" and first.model == MODEL, first
    assert first.content[0].type == "text" and first.content[0].text.strip(), first
    assert first.stop_reason in ("end_turn", "max_tokens"), first
    assert first.usage.cache_read_input_tokens, "the document was published, so the first question hits"
    assert first._request_id, "the client found no request id"

    again = client.messages.create(
        model=MODEL,
        max_tokens=24,
        system=SYSTEM,
        messages=QUESTION,
        extra_body=GREEDY,
        metadata={"user_id": "u1"},
    )
    assert (again.usage.cache_read_input_tokens or 0) >= first.usage.cache_read_input_tokens, again.usage
    assert _total(again.usage) == _total(first.usage), (again.usage, first.usage)

    begins = client.messages.create(
        model=MODEL,
        max_tokens=24,
        system=SYSTEM,
        messages=QUESTION,
        extra_body=GREEDY,
        stop_sequences=[_text(again).split()[1]],
    )
    assert begins.stop_reason == "stop_sequence", begins
    assert begins.stop_sequence == _text(again).split()[1], begins
    return first.usage.cache_read_input_tokens


def counted(client: Anthropic) -> None:
    count = client.messages.count_tokens(model=MODEL, system=SYSTEM, messages=QUESTION)
    whole = client.messages.create(model=MODEL, max_tokens=1, system=SYSTEM, messages=QUESTION)
    assert count.input_tokens == _total(whole.usage), (count, whole.usage)
    with_tools = client.messages.count_tokens(
        model=MODEL, system=SYSTEM, messages=QUESTION, tools=[WEATHER], tool_choice={"type": "auto"}
    )
    assert with_tools.input_tokens >= count.input_tokens, with_tools


def prewarmed(client: Anthropic) -> None:
    """A prompt is kept before anybody asks: the first question then reads all of it."""
    system: Any = [{"type": "text", "text": f"Be brief.\n\n{TEXT}", "cache_control": {"type": "ephemeral"}}]
    warm: Any = [{"role": "user", "content": "warmup"}]
    warmed = client.messages.create(model=MODEL, max_tokens=0, system=system, messages=warm)
    assert warmed.content == [] and warmed.stop_reason == "max_tokens", warmed
    assert warmed.usage.output_tokens == 0, warmed.usage
    assert (warmed.usage.cache_creation_input_tokens or 0) > 1000, warmed.usage
    asked = client.messages.create(model=MODEL, max_tokens=8, system=system, messages=QUESTION)
    assert (asked.usage.cache_read_input_tokens or 0) > 1000, asked.usage


def streamed(client: Anthropic) -> None:
    pieces: list[str] = []
    with client.messages.stream(
        model=MODEL, max_tokens=24, system=SYSTEM, messages=QUESTION, extra_body=GREEDY
    ) as stream:
        for piece in stream.text_stream:
            pieces.append(piece)
        final = stream.get_final_message()
    assert "".join(pieces) == _text(final) != "", (pieces, final)
    assert len(pieces) > 1, "the answer came in one piece"
    assert (final.usage.cache_read_input_tokens or 0) > 1000, final.usage
    assert final.usage.output_tokens > 1, final.usage

    whole = client.messages.create(
        model=MODEL, max_tokens=24, system=SYSTEM, messages=QUESTION, extra_body=GREEDY
    )
    assert _text(whole) == _text(final), "streamed and whole differ"
    assert whole.stop_reason == final.stop_reason, (whole, final)

    raw = client.messages.create(
        model=MODEL, max_tokens=24, system=SYSTEM, messages=QUESTION, extra_body=GREEDY, stream=True
    )
    kinds = [event.type for event in raw]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop", kinds


def documents_as_blocks(client: Anthropic) -> None:
    """The document in a user message: as Anthropic's document block, and by its name alone."""
    source: Any = {"type": "text", "media_type": "text/plain", "data": TEXT}
    for block in (
        {"type": "document", "source": source, "cache_control": {"type": "ephemeral"}},
        {"type": "kv_document", "document": "handbook"},
    ):
        content: Any = [block, {"type": "text", "text": "What is this license for?"}]
        answer = client.messages.create(
            model=MODEL, max_tokens=8, messages=[{"role": "user", "content": content}]
        )
        assert (answer.usage.cache_read_input_tokens or 0) > 1000, (block["type"], answer.usage)


def tool_round_trip(client: Anthropic) -> int:
    asked = client.messages.create(
        model=MODEL,
        max_tokens=60,
        system=SYSTEM,
        messages=[ASK_WEATHER],
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "weather"},
    )
    assert asked.stop_reason == "tool_use", asked
    uses = [block for block in asked.content if block.type == "tool_use"]
    assert len(uses) == 1 and uses[0].name == "weather" and uses[0].id.startswith("toolu_"), asked
    assert uses[0].input["city"] in ("Oslo", "Lima"), uses
    assert uses[0].input["unit"] in ("celsius", "fahrenheit"), uses
    assert (asked.usage.cache_read_input_tokens or 0) > 1000, asked.usage

    result: Any = {
        "type": "tool_result",
        "tool_use_id": uses[0].id,
        "content": [{"type": "text", "text": "4 degrees, rain"}],
    }
    told = client.messages.create(
        model=MODEL,
        max_tokens=24,
        system=SYSTEM,
        messages=[
            ASK_WEATHER,
            {"role": "assistant", "content": asked.content},
            {"role": "user", "content": [result, {"type": "text", "text": "Say it in one sentence."}]},
        ],
        tools=[WEATHER],
        tool_choice={"type": "none"},
    )
    assert told.stop_reason in ("end_turn", "max_tokens"), told
    assert _text(told).strip(), told
    assert (told.usage.cache_read_input_tokens or 0) >= (asked.usage.cache_read_input_tokens or 0), told.usage
    return 1


def streamed_tool(client: Anthropic) -> int:
    with client.messages.stream(
        model=MODEL,
        max_tokens=60,
        system=SYSTEM,
        messages=[ASK_WEATHER],
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    ) as stream:
        partial = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use", final
    use = final.content[-1]
    assert use.type == "tool_use" and json.loads("".join(partial)) == use.input, (partial, use)

    failed: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "no such city", "is_error": True}
    with client.messages.stream(
        model=MODEL,
        max_tokens=24,
        system=SYSTEM,
        messages=[
            ASK_WEATHER,
            {"role": "assistant", "content": final.content},
            {"role": "user", "content": [failed]},
        ],
        tools=[WEATHER],
        tool_choice={"type": "none"},
    ) as stream:
        assert stream.get_final_text().strip(), "no answer to a failed tool"
    return 1


def structured(client: Anthropic) -> None:
    parsed = client.messages.parse(
        model=MODEL, max_tokens=120, system=SYSTEM, messages=QUESTION, output_format=Verdict
    )
    assert isinstance(parsed.parsed_output, Verdict), parsed
    assert (parsed.usage.cache_read_input_tokens or 0) > 1000, parsed.usage
    with client.messages.stream(
        model=MODEL, max_tokens=120, system=SYSTEM, messages=QUESTION, output_format=Verdict
    ) as stream:
        final = stream.get_final_message()
    assert isinstance(final.parsed_output, Verdict), final


def tool_runner(client: Anthropic) -> int:
    ran: list[str] = []

    @beta_tool
    def population(city: Literal["Oslo", "Lima"]) -> str:
        """How many people live in a city.

        Args:
            city: Which one.
        """
        ran.append(city)
        return "about 700 thousand"

    for stream in (False, True):
        runner = client.beta.messages.tool_runner(
            model=MODEL,
            max_tokens=40,
            system=SYSTEM,
            messages=[{"role": "user", "content": "How many people live in Oslo?"}],
            tools=[population],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            max_iterations=3,
            stream=stream,
        )
        cached = []
        for turn in runner:
            message = turn.get_final_message() if stream else turn
            cached.append(message.usage.cache_read_input_tokens or 0)
            # The small model would go on calling as long as it has to.
            runner.set_messages_params(lambda params: {**params, "tool_choice": {"type": "none"}})
        assert len(cached) == 2, f"{len(cached)} turns"
        assert message.content[-1].type == "text", message
        assert cached[0] > 1000 and cached[1] >= cached[0], cached
    assert len(ran) >= 2 and set(ran) <= {"Oslo", "Lima"}, ran
    return len(ran)


def errors(client: Anthropic) -> None:
    ask: Any = {"max_tokens": 8, "messages": QUESTION}
    try:
        client.messages.create(model="no-such-model", **ask)
    except NotFoundError as e:
        assert e.type == "not_found_error" and "no-such-model" in e.message, e
        assert e.request_id, "no request id"
    else:
        raise AssertionError("an unknown model was served")
    for wrong, named in (
        ({"extra_body": {"temperature": 3}}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "nothing"}}, "tool_choice"),
        (
            {
                "tools": [{"type": "web_search_20250305", "name": "web_search"}],
                "tool_choice": {"type": "tool", "name": "web_search"},
            },
            "'web_search' was left out",
        ),
    ):
        try:
            client.messages.create(model=MODEL, **{**ask, **wrong})
        except BadRequestError as e:
            assert e.type == "invalid_request_error" and named in e.message, e
        else:
            raise AssertionError(f"{wrong} was accepted")
    stranger = client.copy(api_key="not-the-key")
    for call in (stranger.messages.create, stranger.messages.count_tokens):
        try:
            call(
                model=MODEL,
                messages=QUESTION,
                **({"max_tokens": 8} if call == stranger.messages.create else {}),
            )
        except AuthenticationError as e:
            assert e.type == "authentication_error", e
        else:
            raise AssertionError("a wrong key was accepted")
    try:
        stranger.messages.create(model=MODEL, max_tokens=8, messages=QUESTION, stream=True)
    except AuthenticationError:
        pass
    else:
        raise AssertionError("a wrong key was accepted for a stream")


async def asynchronous() -> int:
    ran: list[str] = []

    @beta_async_tool
    async def height(mountain: Literal["Galdhoepiggen", "Huascaran"]) -> str:
        """How high a mountain is."""
        ran.append(mountain)
        return "a few thousand metres"

    async with AsyncAnthropic(base_url=URL, auth_token=KEY, max_retries=0, timeout=120) as client:
        answers = await asyncio.gather(
            *(
                client.messages.create(model=MODEL, max_tokens=8, system=SYSTEM, messages=QUESTION)
                for _ in range(3)
            )
        )
        assert all((a.usage.cache_read_input_tokens or 0) > 1000 for a in answers), answers
        async with client.messages.stream(
            model=MODEL, max_tokens=8, system=SYSTEM, messages=QUESTION
        ) as stream:
            text = [piece async for piece in stream.text_stream]
            final = await stream.get_final_message()
        assert "".join(text) == _text(final), (text, final)

        runner = client.beta.messages.tool_runner(
            model=MODEL,
            max_tokens=40,
            system=SYSTEM,
            messages=[{"role": "user", "content": "How high is Galdhoepiggen?"}],
            tools=[height],
            tool_choice={"type": "tool", "name": "height"},
            max_iterations=3,
        )
        async for _ in runner:
            runner.set_messages_params(lambda params: {**params, "tool_choice": {"type": "none"}})
        last = await runner.until_done()
        assert last.content[-1].type == "text", last

        models = [model.id async for model in client.models.list()]
        assert MODEL in models, models
    return len(ran)


def _text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def _total(usage: Any) -> int:
    """Anthropic counts what was read from the cache, what was written to it and the rest apart."""
    return (
        usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    )


if __name__ == "__main__":
    main()
