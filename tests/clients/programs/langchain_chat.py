"""LangChain's ChatOpenAI and its agents, over chat completions and over responses."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import APIError, AuthenticationError, BadRequestError, NotFoundError
from pydantic import BaseModel, Field

URL, KEY, MODEL = os.environ["KVPROXY_URL"], os.environ["KVPROXY_KEY"], os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")

SYSTEM = SystemMessage(f"{TEXT}\n\nAnswer in one short sentence from the text above.")
QUESTION: list[BaseMessage] = [SYSTEM, HumanMessage("What is this license for?")]


class Verdict(BaseModel):
    """What a text is."""

    kind: Literal["license", "novel", "recipe"]
    grade: int = Field(ge=1, le=5)
    free: bool


@tool
def weather(city: Literal["Oslo", "Lima"], days: Literal[1, 2]) -> str:
    """The weather in a city on the next days."""
    return f"4 degrees and rain in {city} for {days} days"


def main() -> None:
    cached, results = [], 0
    for responses in (False, True):
        cached.append(document_question(responses))
        streamed(responses)
        marked(responses)
        results += tool_round_trip(responses)
        structured(responses)
        results += agent(responses)
        errors(responses)
    asyncio.run(asynchronous())
    conversation()
    print(json.dumps({"cached_tokens": min(cached), "tool_results": results}))


def model(responses: bool, **settings: Any) -> ChatOpenAI:
    given: dict[str, Any] = {"max_tokens": 24, "temperature": 0, "model": MODEL, "api_key": KEY, **settings}
    return ChatOpenAI(
        base_url=f"{URL}/v1",
        use_responses_api=responses,
        stream_usage=True,
        max_retries=0,
        timeout=120,
        **given,
    )


def document_question(responses: bool) -> int:
    answer = model(responses).invoke(QUESTION)
    assert answer.text.strip(), answer
    assert answer.response_metadata["model_name"] == MODEL, answer.response_metadata
    usage = answer.usage_metadata
    assert usage is not None, answer
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], usage
    details = usage["input_token_details"]
    assert 0 < details["cache_read"] <= usage["input_tokens"], usage
    assert answer.response_metadata.get("finish_reason", "stop") in ("stop", "length"), answer
    return details["cache_read"]


def streamed(responses: bool) -> None:
    whole = model(responses).invoke(QUESTION)
    chunks = list(model(responses).stream(QUESTION))
    joined = _join(chunks)
    assert joined.text == whole.text, (joined.text, whole.text)
    assert len([c for c in chunks if c.text]) > 1, "the answer came in one piece"
    assert sum(c.usage_metadata is not None for c in chunks) == 1, "usage was told more than once, or never"
    assert joined.usage_metadata is not None and whole.usage_metadata is not None
    assert joined.usage_metadata["input_token_details"]["cache_read"] > 1000, joined.usage_metadata
    assert joined.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"], joined
    # Without stream_usage a chat stream has none; responses tell it at the end of every stream.
    quiet = model(responses)
    quiet.stream_usage = False
    usages = [c.usage_metadata for c in quiet.stream(QUESTION)]
    assert any(usages) is responses, usages


def marked(responses: bool) -> None:
    """The document as a block of its own, with a breakpoint behind it, and by its name."""
    kind = "input_text" if responses else "text"
    head: Any = {"type": kind, "text": TEXT, "prompt_cache_breakpoint": {"mode": "explicit"}}
    rest: Any = {"type": kind, "text": "\n\nAnswer in one short sentence."}
    answer = model(responses).invoke([SystemMessage([head, rest]), HumanMessage("What is this license for?")])
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"]["cache_read"] > 1000, answer.usage_metadata
    if not responses:
        # For responses the client refuses the types of content part that it does not know.
        named: Any = [{"type": "kv_document", "document": "handbook"}, rest]
        answer = model(responses).invoke([SystemMessage(named), HumanMessage("What is this license for?")])
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["input_token_details"]["cache_read"] > 1000, answer.usage_metadata


def tool_round_trip(responses: bool) -> int:
    """One forced by name and run as the client runs tools, one forced and streamed."""
    asked: list[BaseMessage] = [SYSTEM, HumanMessage("How is the weather in Oslo tomorrow?")]
    forced = model(responses, max_tokens=80).bind_tools([weather], tool_choice="weather")
    call = forced.invoke(asked)
    assert len(call.tool_calls) == 1 and not call.invalid_tool_calls, call
    assert call.tool_calls[0]["name"] == "weather" and call.tool_calls[0]["id"], call
    result = weather.invoke(call.tool_calls[0])
    assert isinstance(result, ToolMessage) and "rain" in result.text, result
    told = model(responses).bind_tools([weather], tool_choice="none").invoke([*asked, call, result])
    assert told.text.strip() and not told.tool_calls, told
    assert call.usage_metadata is not None and told.usage_metadata is not None
    before = call.usage_metadata["input_token_details"]["cache_read"]
    assert told.usage_metadata["input_token_details"]["cache_read"] >= before > 1000, told.usage_metadata

    strict = model(responses, max_tokens=80).bind_tools(
        [weather], tool_choice="required", strict=True, parallel_tool_calls=False
    )
    chunks = list(strict.stream(asked))
    joined = _join(chunks)
    assert len(joined.tool_calls) == 1, joined
    assert joined.tool_calls[0]["args"]["city"] in ("Oslo", "Lima"), joined
    assert len([c for c in chunks if c.tool_call_chunks]) > 2, "the arguments came in one piece"
    again = ToolMessage(
        "no such city", tool_call_id=joined.tool_calls[0]["id"], name="weather", status="error"
    )
    last = _join(
        list(model(responses).bind_tools([weather], tool_choice="none").stream([*asked, joined, again]))
    )
    assert last.text.strip(), last
    return 2


def structured(responses: bool) -> None:
    for method in ("json_schema", "function_calling"):
        for strict in (True, None):
            shaped = model(responses, max_tokens=120).with_structured_output(
                Verdict, method=method, strict=strict, include_raw=True
            )
            answer: Any = shaped.invoke(QUESTION)
            assert answer["parsing_error"] is None, (method, strict, answer)
            assert isinstance(answer["parsed"], Verdict), (method, strict, answer)
            cached = answer["raw"].usage_metadata["input_token_details"]["cache_read"]
            assert cached > 1000, (method, strict, answer["raw"].usage_metadata)
    last = list(model(responses, max_tokens=120).with_structured_output(Verdict).stream(QUESTION))[-1]
    assert isinstance(last, Verdict), last


def agent(responses: bool) -> int:
    """An agent that must call its tool once, and then answers in a shape of its own."""

    @wrap_model_call
    def call_once(
        request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        called = any(isinstance(message, ToolMessage) for message in request.messages)
        return handler(request.override(tool_choice="none" if called else "weather"))

    made = create_agent(
        model(responses, max_tokens=60), [weather], system_prompt=SYSTEM, middleware=[call_once]
    )
    asked: Any = {"messages": [HumanMessage("How is the weather in Oslo?")]}
    messages = made.invoke(asked)["messages"]
    _is_round_trip(messages)
    steps = list(made.stream(asked, stream_mode="updates"))
    assert [next(iter(s)) for s in steps] == ["model", "tools", "model"], steps
    pieces = [m for m, _ in made.stream(asked, stream_mode="messages") if isinstance(m, AIMessageChunk)]
    assert len(pieces) > 4, pieces
    return 3


def _is_round_trip(messages: list[BaseMessage]) -> None:
    kinds = [message.type for message in messages]
    assert kinds == ["human", "ai", "tool", "ai"], kinds
    read = [
        m.usage_metadata["input_token_details"]["cache_read"]
        for m in messages
        if isinstance(m, AIMessage) and m.usage_metadata is not None
    ]
    assert len(read) == 2 and 1000 < read[0] <= read[1], read
    assert messages[-1].text.strip(), messages[-1]


def errors(responses: bool) -> None:
    """The client makes kinds of its own of openai's errors; the last it must recognise by its words."""
    long = "word " * 9_000
    for wrong, text, kind, param in (
        ({"model": "no-such-model"}, "hello", NotFoundError, "model"),
        ({"temperature": 9}, "hello", BadRequestError, "temperature"),
        ({"api_key": "not-the-key"}, "hello", AuthenticationError, None),
        ({}, long, ContextOverflowError, "input" if responses else "messages"),
    ):
        for streaming in (False, True):
            asked = model(responses, **wrong)
            try:
                _ = list(asked.stream(text)) if streaming else asked.invoke(text)
            except APIError as e:
                assert isinstance(e, kind) and e.param == param, (wrong, repr(e), e.param)
            else:
                raise AssertionError(f"{wrong} was accepted")


async def asynchronous() -> None:
    """Both in one event loop: the client keeps its connections for all its models together."""
    for responses in (False, True):
        asked = model(responses, max_tokens=8)
        answers = await asked.abatch([QUESTION, QUESTION])
        assert all(a.text for a in answers), answers
        joined = _join([chunk async for chunk in asked.astream(QUESTION)])
        assert joined.text == answers[0].text, (joined.text, answers[0].text)


def conversation() -> None:
    """A second turn that names the first one's response sends only what is new."""
    asked = model(True, store=True, use_previous_response_id=True)
    first = asked.invoke(QUESTION)
    assert first.response_metadata["id"].startswith("resp_"), first.response_metadata
    second = asked.invoke([*QUESTION, first, HumanMessage("And who wrote it?")])
    assert first.usage_metadata is not None and second.usage_metadata is not None
    assert second.usage_metadata["input_tokens"] > first.usage_metadata["input_tokens"], second.usage_metadata
    read = second.usage_metadata["input_token_details"]["cache_read"]
    assert read >= first.usage_metadata["input_token_details"]["cache_read"], second.usage_metadata


def _join(chunks: list[Any]) -> AIMessageChunk:
    assert chunks, "the stream was empty"
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined = joined + chunk
    assert isinstance(joined, AIMessageChunk)
    return joined


if __name__ == "__main__":
    main()
