"""openai-agents: an agent with two tools, a handoff and a typed answer, streamed and not, in both of its dialects."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Literal

import openai
from agents import (
    Agent,
    ModelSettings,
    Runner,
    Usage,
    function_tool,
    set_default_openai_api,
    set_default_openai_client,
    set_tracing_disabled,
)
from agents.items import HandoffOutputItem, ToolCallItem, ToolCallOutputItem
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

MODEL = os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")
INSTRUCTIONS = f"{TEXT}\n\nAnswer from the text above."
SETTINGS = ModelSettings(temperature=0, max_tokens=80, include_usage=True, parallel_tool_calls=False)


class License(BaseModel):
    """What the handbook is."""

    kind: Literal["copyleft", "permissive"]
    version: int = Field(ge=1, le=9)


class Answer(BaseModel):
    """Bounded: the SDK takes an answer that was cut off for a failure."""

    topic: Literal["license", "weather", "music"]


class Desk:
    """Two tools and what they were asked. Each is there until it was used, or a small model calls for ever."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}

    def tools(self) -> list[Any]:
        @function_tool(is_enabled=lambda context, agent: "look_up" not in self.asked)
        def look_up(section: Literal["preamble", "terms", "warranty"]) -> str:
            """Look up a section of the handbook."""
            self.asked["look_up"] = section
            return f"The {section} is in section 2."

        @function_tool(is_enabled=lambda context, agent: "count" not in self.asked)
        def count(unit: Literal["words", "lines"]) -> int:
            """Count the words or the lines of the handbook."""
            self.asked["count"] = unit
            return 900

        return [look_up, count]


def client(key: str = os.environ["KVPROXY_KEY"]) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=os.environ["KVPROXY_URL"] + "/v1", api_key=key, max_retries=0)


def agent(name: str, tool_choice: str | None = None, output_type: type = Answer, **more: Any) -> Agent[None]:
    settings = SETTINGS.resolve(ModelSettings(tool_choice=tool_choice))
    return Agent(
        name=name,
        instructions=INSTRUCTIONS,
        model=MODEL,
        model_settings=settings,
        output_type=output_type,
        **more,
    )


def cached_of(usage: Usage) -> int:
    return usage.input_tokens_details.cached_tokens


async def document_question() -> int:
    """Asked twice, the second time streamed; what was cached."""
    reader = agent("Reader")
    answer = await Runner.run(reader, "What is this text about?")
    assert isinstance(answer.final_output, Answer), answer
    usage = answer.context_wrapper.usage
    assert usage.requests == 1, usage
    assert 1_000 < cached_of(usage) < usage.input_tokens, usage

    streamed = Runner.run_streamed(reader, "What is this text about?")
    said = ""
    async for event in streamed.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            said += event.data.delta
    assert Answer.model_validate_json(said) == streamed.final_output == answer.final_output, (said, answer)
    assert cached_of(streamed.context_wrapper.usage) >= cached_of(usage), streamed.context_wrapper.usage
    return cached_of(usage)


async def two_tools() -> int:
    """Forced to begin with one of them, the agent ends by itself; then free in its choice, and streamed."""
    desk = Desk()
    clerk = agent("Clerk", "count", tools=desk.tools())
    answer = await Runner.run(clerk, "How long is it?", max_turns=4)
    assert "count" in desk.asked, desk.asked
    called = [item for item in answer.new_items if isinstance(item, ToolCallItem)]
    results = [item for item in answer.new_items if isinstance(item, ToolCallOutputItem)]
    assert len(called) == len(results) == len(desk.asked), answer.new_items
    assert results[0].output == 900, results
    assert isinstance(answer.final_output, Answer), answer
    usage = answer.context_wrapper.usage
    assert usage.requests == len(called) + 1 and cached_of(usage) > 1_000 * usage.requests, usage

    again = Desk()
    clerk = agent("Clerk", "required", tools=again.tools())
    history = answer.to_input_list()
    streamed = Runner.run_streamed(
        clerk, [*history, {"role": "user", "content": "Where is the warranty?"}], max_turns=4
    )
    names: list[str] = []
    arguments = ""
    async for event in streamed.stream_events():
        if event.type == "run_item_stream_event":
            names.append(event.name)
        elif (
            event.type == "raw_response_event" and event.data.type == "response.function_call_arguments.delta"
        ):
            arguments += event.data.delta
    assert all(value in arguments for value in again.asked.values()), (arguments, again.asked)
    assert names.count("tool_called") == names.count("tool_output") == len(again.asked) >= 1, names
    assert isinstance(streamed.final_output, Answer), streamed
    return len(desk.asked) + len(again.asked)


async def handoff() -> None:
    """The triage agent hands over to the clerk, who answers in a type; streamed and not."""
    clerk = agent("Clerk", output_type=License, handoff_description="Knows licenses.")
    triage = agent("Triage", "transfer_to_clerk", handoffs=[clerk])
    answer = await Runner.run(triage, "What license is this?", max_turns=4)
    assert isinstance(answer.final_output, License), answer
    assert answer.last_agent.name == "Clerk", answer.last_agent
    assert any(isinstance(item, HandoffOutputItem) for item in answer.new_items), answer.new_items
    assert cached_of(answer.context_wrapper.usage) > 2_000, answer.context_wrapper.usage

    streamed = Runner.run_streamed(triage, "What license is this?", max_turns=4)
    agents = [
        e.new_agent.name async for e in streamed.stream_events() if e.type == "agent_updated_stream_event"
    ]
    assert agents == ["Triage", "Clerk"], agents
    assert streamed.final_output == answer.final_output, (streamed.final_output, answer.final_output)


async def stored_turns() -> None:
    """Responses only: the server keeps the conversation."""
    reader = agent("Reader")
    first = await Runner.run(reader, "What is this text about?")
    assert first.last_response_id, first
    second = await Runner.run(reader, "Why?", previous_response_id=first.last_response_id)
    usage = second.context_wrapper.usage
    assert usage.input_tokens > first.context_wrapper.usage.total_tokens, usage
    assert cached_of(usage) > 1_000, usage


async def refused(kind: type[openai.APIStatusError], run: Awaitable[object]) -> Any:
    try:
        answer = await run
    except kind as e:
        return e
    raise AssertionError(f"not a {kind.__name__}: {answer}")


async def errors() -> None:
    stranger = Agent(name="Stranger", model="no-such-model")
    e = await refused(openai.NotFoundError, Runner.run(stranger, "Hello"))
    assert e.code == "model_not_found", e
    hot = Agent(name="Hot", model=MODEL, model_settings=ModelSettings(temperature=9))
    e = await refused(openai.BadRequestError, Runner.run(hot, "Hello"))
    assert e.param == "temperature", e
    streamed = Runner.run_streamed(hot, "Hello")
    e = await refused(openai.BadRequestError, anext(aiter(streamed_errors(streamed))))
    assert e.param == "temperature", e
    set_default_openai_client(client("not-the-key"), use_for_tracing=False)
    e = await refused(openai.AuthenticationError, Runner.run(agent("Reader"), "Hello"))
    assert e.code == "invalid_api_key", e


async def streamed_errors(streamed: Any) -> Any:
    async for event in streamed.stream_events():
        if event.type == "raw_response_event":
            yield event


async def dialect(api: Literal["responses", "chat_completions"]) -> tuple[int, int]:
    set_default_openai_api(api)
    async with client() as ai:
        set_default_openai_client(ai, use_for_tracing=False)
        cached = await document_question()
        results = await two_tools()
        await handoff()
        if api == "responses":
            await stored_turns()
        await errors()
    return cached, results


async def main() -> None:
    set_tracing_disabled(True)
    cached, results = await dialect("responses")
    chat_cached, chat_results = await dialect("chat_completions")
    print(json.dumps({"cached_tokens": min(cached, chat_cached), "tool_results": results + chat_results}))


if __name__ == "__main__":
    asyncio.run(main())
