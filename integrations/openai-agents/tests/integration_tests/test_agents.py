"""The provider against the real proxy, which has published ``handbook``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from agents import Agent, ModelSettings, Runner, Usage, function_tool
from openai_agents_kvproxy import KVProxyClient, KVProxyProvider, adocuments_first
from pydantic import BaseModel

SETTINGS = ModelSettings(temperature=0, max_tokens=80, parallel_tool_calls=False)


class Answer(BaseModel):
    """Bounded: the SDK takes an answer that was cut off for a failure."""

    topic: Literal["license", "weather", "music"]


@pytest.fixture(params=["responses", "chat completions"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[KVProxyProvider]:
    provider = KVProxyProvider(use_responses=request.param == "responses")
    yield provider
    await provider.aclose()


def cached(usage: Usage) -> int:
    return usage.input_tokens_details.cached_tokens


async def reader(**settings: Any) -> Agent[None]:
    instructions = await adocuments_first("Answer from the text above.", "handbook")
    return Agent(
        name="Reader",
        instructions=instructions,
        output_type=Answer,
        **{"model_settings": SETTINGS, **settings},
    )


async def test_a_published_document_hits(provider: KVProxyProvider) -> None:
    agent = await reader()
    whole = await Runner.run(agent, "What is this about?", run_config=provider.run_config())
    assert 1_000 < cached(whole.context_wrapper.usage) < whole.context_wrapper.usage.input_tokens
    streamed = Runner.run_streamed(agent, "What is this about?", run_config=provider.run_config())
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == whole.final_output
    assert cached(streamed.context_wrapper.usage) >= cached(whole.context_wrapper.usage)


async def test_a_tool_round_trip_hits_on_each_step(provider: KVProxyProvider) -> None:
    asked: list[str] = []

    @function_tool(is_enabled=lambda context, agent: not asked)
    def look_up(section: Literal["preamble", "terms"]) -> str:
        """Look up a section of the handbook."""
        asked.append(section)
        return f"The {section} is in section 2."

    agent = await reader(
        tools=[look_up], model_settings=SETTINGS.resolve(ModelSettings(tool_choice="required"))
    )
    result = await Runner.run(agent, "Where are the terms?", run_config=provider.run_config())
    usage = result.context_wrapper.usage
    assert isinstance(result.final_output, Answer) and len(asked) == 1
    assert usage.requests == 2 and cached(usage) > 2_000, usage


async def test_a_handoff_hits_with_another_agents_instructions(provider: KVProxyProvider) -> None:
    clerk = Agent(
        name="Clerk",
        instructions=await adocuments_first("You are a clerk.", "handbook"),
        model_settings=SETTINGS,
        output_type=Answer,
    )
    choice = ModelSettings(tool_choice="transfer_to_clerk")
    triage = await reader(handoffs=[clerk], model_settings=SETTINGS.resolve(choice))
    result = await Runner.run(triage, "What is this?", run_config=provider.run_config())
    assert result.last_agent.name == "Clerk"
    assert cached(result.context_wrapper.usage) > 2_000, result.context_wrapper.usage


async def test_the_agent_that_names_no_model_gets_the_proxys(client: KVProxyClient) -> None:
    provider = KVProxyProvider()
    result = await Runner.run(await reader(), "Hello", run_config=provider.run_config())
    assert isinstance(result.final_output, Answer)
    assert provider.get_model(None).model == client.served_model()  # type: ignore[attr-defined]  # its own models'
    await provider.aclose()
