"""openai-python's chat completions: questions about a document, tools, parsed answers, streams, errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import openai
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, Field

MODEL = os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")


class License(BaseModel):
    """What the handbook is."""

    kind: Literal["copyleft", "permissive"]
    version: int = Field(ge=1, le=9)
    title: str = Field(max_length=12)


class LookUp(BaseModel):
    """Look up a section of the handbook."""

    section: Literal["preamble", "terms", "warranty"]


def client(key: str = os.environ["KVPROXY_KEY"]) -> OpenAI:
    return OpenAI(base_url=os.environ["KVPROXY_URL"] + "/v1", api_key=key, max_retries=0)


def conversation(question: str) -> list[ChatCompletionMessageParam]:
    return [
        {"role": "system", "content": f"{TEXT}\n\nAnswer from the text above."},
        {"role": "user", "content": question},
    ]


def document_question(ai: OpenAI) -> int:
    """By text, by reference and at the head of the user message, whole and streamed; what was cached."""
    asked = conversation("What is this text about?")
    answer = ai.chat.completions.create(model=MODEL, messages=asked, max_completion_tokens=8, temperature=0)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content, answer
    assert answer.usage and answer.usage.prompt_tokens_details, answer
    assert answer.usage.completion_tokens == 8, answer.usage
    cached = answer.usage.prompt_tokens_details.cached_tokens or 0
    assert 1_000 < cached < answer.usage.prompt_tokens, answer.usage

    chunks = list(
        ai.chat.completions.create(
            model=MODEL,
            messages=asked,
            max_completion_tokens=8,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == answer.choices[0].message.content, (said, answer)
    usage = chunks[-1].usage
    assert usage and usage.prompt_tokens_details, chunks[-1]
    # What the first answer left behind comes on top.
    assert (usage.prompt_tokens_details.cached_tokens or 0) >= cached, usage

    by_reference: Any = {"type": "kv_document", "document": "handbook"}
    instructions: Any = {"type": "text", "text": "\nAnswer from the text above."}
    again = ai.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": [by_reference, instructions]}, asked[1]],
        max_completion_tokens=8,
        temperature=0,
    )
    assert again.usage and again.usage.prompt_tokens_details, again
    assert again.usage.prompt_tokens == answer.usage.prompt_tokens, (again.usage, answer.usage)
    assert again.choices[0].message.content == answer.choices[0].message.content, again

    in_user: list[ChatCompletionMessageParam] = [{"role": "user", "content": f"{TEXT}\n\nWhat is this?"}]
    last = ai.chat.completions.create(model=MODEL, messages=in_user, max_completion_tokens=2, temperature=0)
    assert last.usage and last.usage.prompt_tokens_details, last
    assert (last.usage.prompt_tokens_details.cached_tokens or 0) > 1_000, last.usage
    return cached


def tool_round_trip(ai: OpenAI) -> int:
    """A call of a named function, parsed; its result is sent back and answered. Then the same, streamed."""
    tool = openai.pydantic_function_tool(LookUp)
    messages = conversation("Which section has the terms? Look it up.")
    called = ai.chat.completions.parse(
        model=MODEL,
        messages=messages,
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "LookUp"}},
        max_completion_tokens=80,
        temperature=0,
    )
    choice = called.choices[0]
    assert choice.finish_reason in ("stop", "tool_calls"), choice
    assert choice.message.tool_calls and len(choice.message.tool_calls) == 1, choice
    call = choice.message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, LookUp), call
    assert call.id and call.type == "function", call
    messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": "LookUp", "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "It is section 2, Basic Permissions."},
    ]
    answer = ai.chat.completions.create(
        model=MODEL, messages=messages, tools=[tool], max_completion_tokens=8, temperature=0
    )
    assert answer.usage and answer.usage.prompt_tokens_details, answer
    assert called.usage, called
    assert answer.usage.prompt_tokens > called.usage.prompt_tokens, (answer.usage, called.usage)
    assert (answer.usage.prompt_tokens_details.cached_tokens or 0) > 1_000, answer.usage
    assert answer.choices[0].message.content is not None or answer.choices[0].message.tool_calls, answer
    return 1 + streamed_tool_call(ai)


def streamed_tool_call(ai: OpenAI) -> int:
    with ai.chat.completions.stream(
        model=MODEL,
        messages=conversation("Which sections have the terms and the warranty?"),
        tools=[openai.pydantic_function_tool(LookUp)],
        tool_choice="required",
        parallel_tool_calls=False,
        max_completion_tokens=80,
        temperature=0,
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [e for e in events if e.type == "tool_calls.function.arguments.delta"]
    done = [e for e in events if e.type == "tool_calls.function.arguments.done"]
    assert len(deltas) > 1 and len(done) == 1, [e.type for e in events]
    assert "".join(e.arguments_delta for e in deltas) == done[0].arguments, (deltas, done)
    said: Any = final.choices[0].message.to_dict()
    calls = final.choices[0].message.tool_calls
    assert final.choices[0].finish_reason == "tool_calls", final
    assert calls and isinstance(calls[0].function.parsed_arguments, LookUp), final
    answer = ai.chat.completions.create(
        model=MODEL,
        messages=[
            *conversation("Which sections have the terms and the warranty?"),
            said,
            {"role": "tool", "tool_call_id": calls[0].id, "content": "Sections 2 and 15."},
        ],
        max_completion_tokens=8,
        temperature=0,
    )
    assert answer.choices[0].message.content, answer
    return 1


def structured_output(ai: OpenAI) -> None:
    """Parsed into a model, whole and streamed; and JSON without a schema."""
    asked = conversation("What license is this? Give its kind, version and title.")
    parsed = ai.chat.completions.parse(
        model=MODEL, messages=asked, response_format=License, max_completion_tokens=120, temperature=0
    )
    assert isinstance(parsed.choices[0].message.parsed, License), parsed
    with ai.chat.completions.stream(
        model=MODEL,
        messages=asked,
        response_format=License,
        max_completion_tokens=120,
        temperature=0,
        stream_options={"include_usage": True},
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, License), final
    assert final.usage and final.usage.prompt_tokens_details, final
    assert (final.usage.prompt_tokens_details.cached_tokens or 0) > 1_000, final.usage
    done = [e for e in events if e.type == "content.done"]
    assert len(done) == 1 and done[0].parsed == final.choices[0].message.parsed, done


def several_choices(ai: OpenAI) -> None:
    """n, seeds, log probabilities and stop strings arrive as the client's types."""
    answer = ai.chat.completions.create(
        model=MODEL,
        messages=conversation("Say anything."),
        n=2,
        seed=7,
        temperature=1,
        logprobs=True,
        top_logprobs=2,
        max_completion_tokens=6,
    )
    assert [choice.index for choice in answer.choices] == [0, 1], answer
    for choice in answer.choices:
        assert choice.logprobs and choice.logprobs.content, choice
        assert all(len(token.top_logprobs) == 2 for token in choice.logprobs.content), choice
        assert all(token.logprob <= 0 for token in choice.logprobs.content), choice
        spelled = b"".join(bytes(token.bytes or ()) for token in choice.logprobs.content)
        assert spelled.decode("utf-8", "replace") == choice.message.content, choice
    with ai.chat.completions.stream(
        model=MODEL,
        messages=conversation("Say anything."),
        logprobs=True,
        n=2,
        seed=7,
        max_completion_tokens=6,
    ) as stream:
        events = list(stream)
        # get_final_completion() raises for what was cut off.
        final = stream.current_completion_snapshot
    assert len(final.choices) == 2 and all(c.finish_reason in ("length", "stop") for c in final.choices), (
        final
    )
    assert sum(e.type == "logprobs.content.done" for e in events) == 2, [e.type for e in events]
    whole = ai.chat.completions.create(
        model=MODEL, messages=conversation("What is this?"), temperature=0, max_completion_tokens=12
    )
    text = whole.choices[0].message.content or ""
    stop = text.split()[2]
    short = ai.chat.completions.create(
        model=MODEL,
        messages=conversation("What is this?"),
        temperature=0,
        max_completion_tokens=12,
        stop=[stop],
    )
    assert short.choices[0].finish_reason == "stop", short
    assert short.choices[0].message.content == text[: text.index(stop)], (short, text)


def refused(kind: type[openai.OpenAIError], call: Callable[[], object]) -> Any:
    """The client's own exception."""
    try:
        answer = call()
    except kind as e:
        return e
    raise AssertionError(f"not a {kind.__name__}: {answer}")


def errors(ai: OpenAI) -> None:
    """Each arrives as the client's own class, with code and param."""
    hello: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
    create = ai.chat.completions.create
    e = refused(openai.NotFoundError, lambda: create(model="no-such-model", messages=hello))
    assert e.code == "model_not_found" and e.param == "model" and e.request_id, e
    e = refused(openai.BadRequestError, lambda: create(model=MODEL, messages=hello, temperature=9))
    assert e.param == "temperature" and e.type == "invalid_request_error", e
    stranger = client("not-the-key").chat.completions
    e = refused(openai.AuthenticationError, lambda: stranger.create(model=MODEL, messages=hello))
    assert e.code == "invalid_api_key", e
    long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "word " * 9_000}]
    e = refused(openai.BadRequestError, lambda: create(model=MODEL, messages=long, stream=True))
    assert e.code == "context_length_exceeded", e
    e = refused(
        openai.LengthFinishReasonError,
        lambda: ai.chat.completions.parse(
            model=MODEL, messages=hello, response_format=License, max_completion_tokens=3
        ),
    )
    assert e.completion.choices[0].finish_reason == "length", e


def other_endpoints(ai: OpenAI) -> None:
    models = [model.id for model in ai.models.list()]
    assert MODEL in models, models
    assert ai.models.retrieve(MODEL).id == MODEL
    raw = ai.chat.completions.with_raw_response.create(
        model=MODEL, messages=conversation("Well?"), max_completion_tokens=1
    )
    assert raw.headers["x-request-id"] and "hit" in raw.headers["cache-status"], raw.headers
    assert raw.parse().choices[0].finish_reason == "length"
    text = ai.completions.create(model=MODEL, prompt=f"{TEXT}\n\nIn short,", max_tokens=4, temperature=0)
    assert text.usage and text.usage.prompt_tokens_details, text
    assert (text.usage.prompt_tokens_details.cached_tokens or 0) > 1_000, text.usage
    pieces = list(
        ai.completions.create(
            model=MODEL, prompt=f"{TEXT}\n\nIn short,", max_tokens=4, temperature=0, stream=True, logprobs=1
        )
    )
    assert "".join(piece.choices[0].text for piece in pieces) == text.choices[0].text, (pieces, text)


def main() -> None:
    with client() as ai:
        cached = document_question(ai)
        results = tool_round_trip(ai)
        structured_output(ai)
        several_choices(ai)
        other_endpoints(ai)
        errors(ai)
    print(json.dumps({"cached_tokens": cached, "tool_results": results}))


if __name__ == "__main__":
    main()
