"""Pydantic AI's agents, over chat completions and over responses."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from openai import BadRequestError
from pydantic import BaseModel, Field
from pydantic_ai import (
    Agent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelHTTPError,
    ModelSettings,
    NativeOutput,
    RunContext,
    ToolOutput,
)
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import CachePoint, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.openai import (
    OpenAIChatModel,
    OpenAIChatModelSettings,
    OpenAIResponsesModel,
    OpenAIResponsesModelSettings,
)
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

URL, KEY, MODEL = os.environ["KVPROXY_URL"], os.environ["KVPROXY_KEY"], os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")

INSTRUCTIONS = f"{TEXT}\n\nAnswer in one short sentence from the text above."
QUESTION = "What is this license for?"
SHORT = ModelSettings(max_tokens=24, temperature=0)
LONG = ModelSettings(max_tokens=120, temperature=0)


class Verdict(BaseModel):
    """What a text is."""

    kind: Literal["license", "novel", "recipe"]
    grade: int = Field(ge=1, le=5)
    free: bool


@dataclass
class CallFirst(AbstractCapability[Any]):
    """The first step must call the tool, later ones must not."""

    def get_model_settings(self) -> Any:
        def settings(context: RunContext[Any]) -> ModelSettings:
            return ModelSettings(tool_choice="required" if context.run_step == 1 else "none")

        return settings


async def main() -> None:
    cached, results = [], 0
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        model = kind(MODEL, provider=provider(KEY))
        cached.append(await document_question(model))
        await streamed(model)
        await conversation(model)
        await marked(kind)
        await structured(model)
        results += await tools(model)
        await errors(kind)
    await stored()
    print(json.dumps({"cached_tokens": min(cached), "tool_results": results}))


def provider(key: str) -> OpenAIProvider:
    given = OpenAIProvider(base_url=f"{URL}/v1", api_key=key)
    given.client.max_retries = 0
    return given


async def document_question(model: Model) -> int:
    agent = Agent(model, instructions=INSTRUCTIONS, model_settings=SHORT)
    run = await agent.run(QUESTION)
    assert run.output.strip(), run
    assert run.usage.requests == 1, run.usage
    assert run.usage.cache_read_tokens <= run.usage.input_tokens, run.usage
    response = run.all_messages()[-1]
    assert isinstance(response, ModelResponse) and response.model_name == MODEL, response
    assert response.finish_reason in ("stop", "length"), response
    assert response.provider_response_id, response
    return run.usage.cache_read_tokens


async def streamed(model: Model) -> None:
    agent = Agent(model, instructions=INSTRUCTIONS, model_settings=SHORT)
    whole = await agent.run(QUESTION)
    async with agent.run_stream(QUESTION) as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
        output = await run.get_output()
    assert "".join(pieces) == output == whole.output, (pieces, whole.output)
    assert len(pieces) > 1, "the answer came in one piece"
    assert run.usage.cache_read_tokens > 1000, run.usage
    assert run.usage.output_tokens == whole.usage.output_tokens, (run.usage, whole.usage)


async def conversation(model: Model) -> None:
    """The second turn brings the first one's messages, and finds more of them kept."""
    agent = Agent(model, instructions=INSTRUCTIONS, model_settings=SHORT)
    first = await agent.run(QUESTION)
    second = await agent.run("And who wrote it?", message_history=first.all_messages())
    assert second.output.strip(), second
    assert second.usage.cache_read_tokens >= first.usage.cache_read_tokens, (first.usage, second.usage)


async def marked(kind: type[OpenAIChatModel] | type[OpenAIResponsesModel]) -> None:
    """The client's own cache marks: behind the instructions, and between the parts of a prompt."""
    model = kind(
        MODEL,
        provider=provider(KEY),
        profile=OpenAIModelProfile(openai_supports_prompt_cache_breakpoints=True, supports_cache=True),
    )
    settings: Any = {
        **SHORT,
        "openai_cache_instructions": True,
        "openai_prompt_cache_key": "marks",
        "openai_prompt_cache_options": {"mode": "explicit"},
    }
    kept = Agent(model, instructions=INSTRUCTIONS, model_settings=settings)
    assert (await kept.run(QUESTION)).usage.cache_read_tokens > 1000
    asked = Agent(model, model_settings=settings)
    run = await asked.run([TEXT, CachePoint(), QUESTION])
    assert run.output.strip() and run.usage.cache_read_tokens > 1000, run.usage


async def structured(model: Model) -> None:
    """As a tool and as a response format, whole and streamed."""
    for output in (ToolOutput(Verdict), NativeOutput(Verdict), ToolOutput(Verdict, strict=True)):
        agent: Agent[None, Verdict] = Agent(
            model, output_type=output, instructions=INSTRUCTIONS, model_settings=LONG, retries=0
        )
        run = await agent.run(QUESTION)
        assert isinstance(run.output, Verdict), run
        assert run.usage.requests == 1 and run.usage.cache_read_tokens > 1000, run.usage
        async with agent.run_stream(QUESTION) as stream:
            last = [value async for value in stream.stream_output(debounce_by=None)][-1]
        assert isinstance(last, Verdict), last


async def tools(model: Model) -> int:
    agent = Agent(
        model,
        instructions=INSTRUCTIONS,
        model_settings=ModelSettings(max_tokens=60, temperature=0, parallel_tool_calls=False),
        capabilities=[CallFirst()],
    )
    ran: list[str] = []

    @agent.tool_plain
    def weather(city: Literal["Oslo", "Lima"], days: Literal[1, 2]) -> str:
        """The weather in a city on the next days."""
        ran.append(city)
        return f"4 degrees and rain in {city} for {days} days"

    run = await agent.run("How is the weather in Oslo?")
    assert run.output.strip(), run
    parts = [part for message in run.all_messages() for part in message.parts]
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    returns = [part for part in parts if isinstance(part, ToolReturnPart)]
    assert [c.tool_call_id for c in calls] == [r.tool_call_id for r in returns] != [], (calls, returns)
    assert run.usage.requests == 2 and run.usage.tool_calls == 1, run.usage
    assert run.usage.cache_read_tokens > 2000, run.usage

    events: list[Any] = []

    async def listen(_: RunContext[None], stream: Any) -> None:
        events.extend([event async for event in stream])

    streamed = await agent.run("How is the weather in Lima?", event_stream_handler=listen)
    assert streamed.output.strip(), streamed
    assert any(isinstance(event, FunctionToolCallEvent) for event in events), events
    assert any(isinstance(event, FunctionToolResultEvent) for event in events), events
    assert len(ran) == 2 and set(ran) <= {"Oslo", "Lima"}, ran
    return len(ran)


async def errors(kind: type[OpenAIChatModel] | type[OpenAIResponsesModel]) -> None:
    for name, key, settings, status in (
        ("no-such-model", KEY, SHORT, 404),
        (MODEL, KEY, ModelSettings(temperature=9), 400),
        (MODEL, "not-the-key", SHORT, 401),
    ):
        agent = Agent(kind(name, provider=provider(key)), model_settings=settings)
        try:
            await agent.run("hello")
        except ModelHTTPError as e:
            assert e.status_code == status and e.model_name == name, e
            if status == 400:
                assert isinstance(e.__cause__, BadRequestError) and e.__cause__.param == "temperature", e
        else:
            raise AssertionError(f"{status} did not come")


async def stored() -> None:
    """The server keeps the conversation, and the client sends only what is new."""
    settings = OpenAIResponsesModelSettings(
        max_tokens=24, openai_store=True, openai_previous_response_id="auto", openai_text_verbosity="low"
    )
    agent = Agent(OpenAIResponsesModel(MODEL, provider=provider(KEY)), model_settings=settings)
    first = await agent.run(f"{TEXT}\n\n{QUESTION}")
    second = await agent.run("And who wrote it?", message_history=first.all_messages())
    assert second.usage.input_tokens > first.usage.input_tokens, (first.usage, second.usage)
    assert second.usage.cache_read_tokens >= first.usage.cache_read_tokens > 1000, second.usage
    talkative = OpenAIChatModelSettings(openai_continuous_usage_stats=False, openai_user="u1", **SHORT)
    chat = Agent(OpenAIChatModel(MODEL, provider=provider(KEY)), model_settings=talkative)
    assert (await chat.run("hello")).output.strip()


if __name__ == "__main__":
    asyncio.run(main())
