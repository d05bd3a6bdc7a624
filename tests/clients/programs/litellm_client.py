"""litellm as a client: the OpenAI provider, the Anthropic provider, and its Responses call, at one api_base."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

# Before the import: else it fetches a price list, and reads a .env file.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"

import litellm
from pydantic import BaseModel, Field

litellm.telemetry = False
litellm.suppress_debug_info = True

MODEL = os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")
OPENAI: dict[str, Any] = {
    "model": f"openai/{MODEL}",
    "api_base": os.environ["KVPROXY_URL"] + "/v1",
    "api_key": os.environ["KVPROXY_KEY"],
    "max_retries": 0,
}
ANTHROPIC: dict[str, Any] = {
    "model": f"anthropic/{MODEL}",
    "api_base": os.environ["KVPROXY_URL"],
    "api_key": os.environ["KVPROXY_KEY"],
    "max_retries": 0,
}
PROVIDERS = (OPENAI, ANTHROPIC)
PRICE = {"input_cost_per_token": 1e-6, "cache_read_input_token_cost": 1e-7, "output_cost_per_token": 2e-6}
# litellm streams the Responses of models that it knows; for others it asks for the whole and cuts it up.
litellm.register_model(
    {MODEL: {"litellm_provider": "openai", "mode": "chat", "supports_native_streaming": True, **PRICE}}
)
LOOK_UP: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look up a section of the handbook.",
        "parameters": {
            "type": "object",
            "properties": {"section": {"type": "string", "enum": ["preamble", "terms", "warranty"]}},
            "required": ["section"],
            "additionalProperties": False,
        },
    },
}


class License(BaseModel):
    """What the handbook is."""

    kind: Literal["copyleft", "permissive"]
    version: int = Field(ge=1, le=9)


def conversation(question: str) -> list[Any]:
    return [
        {"role": "system", "content": f"{TEXT}\n\nAnswer from the text above."},
        {"role": "user", "content": question},
    ]


def cached_of(answer: Any) -> int:
    return int(answer.usage.prompt_tokens_details.cached_tokens or 0)


def document_question(provider: dict[str, Any]) -> int:
    """Whole, streamed and through the async call; what was cached."""
    asked = {"messages": conversation("What is this text about?"), "max_tokens": 8, "temperature": 0}
    answer: Any = litellm.completion(**provider, **asked)
    said = answer.choices[0].message.content
    assert said and answer.choices[0].finish_reason == "length", answer
    cached = cached_of(answer)
    assert 1_000 < cached < answer.usage.prompt_tokens, answer.usage

    stream: Any = litellm.completion(**provider, **asked, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said, chunks
    whole: Any = litellm.stream_chunk_builder(chunks, messages=asked["messages"])
    assert whole.choices[0].message.content == said, whole
    assert cached_of(whole) >= cached, whole.usage

    again: Any = asyncio.run(litellm.acompletion(**provider, **asked))
    assert again.choices[0].message.content == said, again
    return cached


def tool_round_trip(provider: dict[str, Any]) -> int:
    """A named call, whole and streamed; the result is sent back each time."""
    forced = {"tools": [LOOK_UP], "tool_choice": {"type": "function", "function": {"name": "look_up"}}}
    messages = conversation("Where are the terms?")
    called: Any = litellm.completion(**provider, **forced, messages=messages, max_tokens=80, temperature=0)
    stream: Any = litellm.completion(
        **provider, **forced, messages=messages, max_tokens=80, temperature=0, stream=True
    )
    streamed: Any = litellm.stream_chunk_builder(list(stream), messages=messages)
    for answer in (called, streamed):
        assert answer.choices[0].finish_reason in ("tool_calls", "stop"), answer
        call = answer.choices[0].message.tool_calls[0]
        assert call.function.name == "look_up" and call.id, call
        assert json.loads(call.function.arguments)["section"] in ("preamble", "terms", "warranty"), call
        result = {"role": "tool", "tool_call_id": call.id, "content": "In section 2."}
        last: Any = litellm.completion(
            **provider,
            messages=[*messages, answer.choices[0].message, result],
            tools=[LOOK_UP],
            max_tokens=8,
            temperature=0,
        )
        assert last.choices[0].message.content or last.choices[0].message.tool_calls, last
        assert last.usage.prompt_tokens > called.usage.prompt_tokens, (last.usage, called.usage)
        assert cached_of(last) > 1_000, last.usage
    return 2


def structured_output(provider: dict[str, Any]) -> None:
    answer: Any = litellm.completion(
        **provider,
        messages=conversation("What license is this? Its kind and version."),
        response_format=License,
        max_tokens=80,
        temperature=0,
    )
    License.model_validate_json(answer.choices[0].message.content)


def price() -> None:
    """litellm's own bill: a tenth for each token that was cached."""
    answer: Any = litellm.completion(**OPENAI, messages=conversation("Well?"), max_tokens=4, temperature=0)
    usage = answer.usage
    read = usage.prompt_tokens - cached_of(answer)
    due = read * 1e-6 + cached_of(answer) * 1e-7 + usage.completion_tokens * 2e-6
    billed = litellm.completion_cost(answer, model=OPENAI["model"])
    assert abs(billed - due) < 1e-9, (billed, due, usage)


def by_reference() -> None:
    """Fields that litellm does not know go through its OpenAI provider as they are."""
    parts = [
        {"type": "kv_document", "document": "handbook"},
        {"type": "text", "text": "\nAnswer from the text above."},
    ]
    question = {"role": "user", "content": "What is this text about?"}
    answer: Any = litellm.completion(
        **OPENAI, messages=[{"role": "system", "content": parts}, question], max_tokens=4, temperature=0
    )
    assert cached_of(answer) > 1_000, answer.usage


def cache_control() -> None:
    """A mark in litellm's own words reaches the proxy through its Anthropic provider."""
    marked = {"type": "text", "text": TEXT, "cache_control": {"type": "ephemeral"}}
    question = {"role": "user", "content": "What is this?"}
    answer: Any = litellm.completion(
        **ANTHROPIC, messages=[{"role": "system", "content": [marked]}, question], max_tokens=4, temperature=0
    )
    assert answer.usage.cache_read_input_tokens == cached_of(answer) > 1_000, answer.usage


def responses() -> int:
    """litellm's Responses call, and a function's result in it."""
    asked: dict[str, Any] = {"instructions": conversation("")[0]["content"], "temperature": 0}
    tool = {"type": "function", **LOOK_UP["function"]}
    called: Any = litellm.responses(
        **OPENAI,
        **asked,
        input="Where are the terms?",
        tools=[tool],
        tool_choice={"type": "function", "name": "look_up"},
        max_output_tokens=80,
    )
    call = called.output[0]
    assert call.type == "function_call" and call.name == "look_up", called
    assert called.usage.input_tokens_details.cached_tokens > 1_000, called.usage
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "In section 2."}
    stream: Any = litellm.responses(
        **OPENAI, **asked, input=[result], previous_response_id=called.id, max_output_tokens=8, stream=True
    )
    events = list(stream)
    last = events[-1]
    kinds = [str(getattr(event.type, "value", event.type)) for event in events]
    assert kinds[0] == "response.created" and "response.output_text.delta" in kinds, kinds
    assert kinds[-1] in ("response.completed", "response.incomplete"), kinds
    assert last.response.usage.input_tokens_details.cached_tokens > 1_000, last
    return 1


def refused(kind: type[Exception], call: Callable[[], object]) -> Any:
    """litellm's own exception."""
    try:
        answer = call()
    except kind as e:
        return e
    raise AssertionError(f"not a {kind.__name__}: {answer}")


def errors(provider: dict[str, Any]) -> None:
    hello: Any = [{"role": "user", "content": "Hello"}]
    other = {**provider, "model": provider["model"].split("/")[0] + "/no-such-model"}
    e = refused(litellm.NotFoundError, lambda: litellm.completion(**other, messages=hello))
    assert "no-such-model" in str(e), e
    e = refused(
        litellm.BadRequestError, lambda: litellm.completion(**provider, messages=hello, temperature=9)
    )
    assert "temperature" in str(e), e
    refused(
        litellm.ContextWindowExceededError,
        lambda: litellm.completion(
            **provider, messages=[{"role": "user", "content": "word " * 9_000}], max_tokens=4
        ),
    )
    stranger = {**provider, "api_key": "not-the-key"}
    refused(litellm.AuthenticationError, lambda: litellm.completion(**stranger, messages=hello))


def main() -> None:
    cached = min(document_question(provider) for provider in PROVIDERS)
    results = sum(tool_round_trip(provider) for provider in PROVIDERS)
    for provider in PROVIDERS:
        structured_output(provider)
        errors(provider)
    price()
    by_reference()
    cache_control()
    results += responses()
    print(json.dumps({"cached_tokens": cached, "tool_results": results}))


if __name__ == "__main__":
    main()
