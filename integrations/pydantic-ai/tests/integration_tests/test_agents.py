"""The provider against the real proxy, which has published ``handbook``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelSettings, NativeOutput, RunContext, ToolOutput
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import CachePoint
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai_kvproxy import KVProxyClient, KVProxyProvider, documents_first

SHORT = ModelSettings(max_tokens=12, temperature=0)
LONG = ModelSettings(max_tokens=80, temperature=0)


class Verdict(BaseModel):
    """A verdict on what a text is."""

    kind: Literal["license", "novel", "recipe"]
    grade: int = Field(ge=1, le=5)


@dataclass
class CallFirst(AbstractCapability[Any]):
    """The first step must call the tool, later ones must not."""

    def get_model_settings(self) -> Any:
        def settings(context: RunContext[Any]) -> ModelSettings:
            return ModelSettings(tool_choice="required" if context.run_step == 1 else "none")

        return settings


@pytest.fixture(params=[OpenAIChatModel, OpenAIResponsesModel])
def model(request: pytest.FixtureRequest, client: KVProxyClient) -> Any:
    return request.param(client.served_model(), provider=KVProxyProvider())


@pytest.fixture
def instructions(client: KVProxyClient) -> str:
    return documents_first("Answer from the text above.", "handbook", client)


async def test_a_published_document_hits(model: Any, instructions: str) -> None:
    async with Agent(model, instructions=instructions, model_settings=SHORT) as agent:
        whole = await agent.run("What is this about?")
        assert 1_000 < whole.usage.cache_read_tokens < whole.usage.input_tokens
        async with agent.run_stream("What is this about?") as streamed:
            assert await streamed.get_output() == whole.output
        assert streamed.usage.cache_read_tokens >= whole.usage.cache_read_tokens
        second = await agent.run("And who wrote it?", message_history=whole.all_messages())
        assert second.usage.cache_read_tokens >= whole.usage.cache_read_tokens


async def test_typed_answers_in_each_way(model: Any, instructions: str) -> None:
    """The document stays in front of the schema that is added to the instructions."""
    for output in (NativeOutput(Verdict), ToolOutput(Verdict)):
        agent: Agent[None, Verdict] = Agent(
            model, output_type=output, instructions=instructions, model_settings=LONG, retries=0
        )
        async with agent:
            result = await agent.run("What is this?")
        assert isinstance(result.output, Verdict)
        assert result.usage.requests == 1 and result.usage.cache_read_tokens > 1_000, result.usage


async def test_a_tool_round_trip_hits_on_each_step(model: Any, instructions: str) -> None:
    agent = Agent(
        model, instructions=[instructions, "Be brief."], model_settings=LONG, capabilities=[CallFirst()]
    )
    ran: list[str] = []

    @agent.tool_plain
    def weather(city: Literal["Oslo", "Lima"]) -> str:
        """The weather in a city."""
        ran.append(city)
        return f"rain in {city}"

    async with agent:
        result = await agent.run("How is the weather in Oslo?")
    assert result.usage.requests == 2 and ran and set(ran) <= {"Oslo", "Lima"}
    assert result.usage.cache_read_tokens > 2_000, result.usage


async def test_cache_points_are_sent(model: Any, client: KVProxyClient) -> None:
    async with Agent(model, model_settings=SHORT) as agent:
        prompt = ["A note of eight words, sent with a mark.", CachePoint(), "What is it?"]
        await agent.run(prompt)
        again = await agent.run(prompt)
    assert again.usage.cache_read_tokens >= 8, again.usage
