"""The provider against the fake proxy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent, AgentRunResult, ModelAPIError, UserError
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.native_tools import WebSearchTool
from pydantic_ai_kvproxy import (
    DocumentUnknown,
    KVProxyClient,
    KVProxyProvider,
    adocuments_first,
    documents_first,
)

TEXT = "Employees have thirty days of leave a year"
WORDS = len(TEXT.split()) + 1


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
def test_a_document_in_front_of_the_instructions(client: KVProxyClient, name: str, kind: Any) -> None:
    """In one event loop after the other."""
    client.publish(name, f"{TEXT} {name}")
    model = kind(client.served_model(), provider=KVProxyProvider())
    agent = Agent(model, instructions=[documents_first("Be brief.", name), "Answer in French."])

    async def asked() -> AgentRunResult[str]:
        async with agent:
            return await agent.run("How many days?")

    for _ in range(2):
        result = asyncio.run(asked())
        assert result.output == "no"
        assert result.usage.cache_read_tokens == WORDS < result.usage.input_tokens


async def test_cached_tokens_of_a_stream(client: KVProxyClient, name: str) -> None:
    await client.apublish(name, f"{TEXT} {name}")
    async with KVProxyProvider() as provider:
        agent = Agent(
            OpenAIChatModel("fake", provider=provider),
            instructions=await adocuments_first("Be brief.", [name]),
        )
        async with agent.run_stream("How many days?") as result:
            assert await result.get_output() == "no"
        assert result.usage.cache_read_tokens == WORDS


def test_one_order_each_once(client: KVProxyClient, name: str) -> None:
    client.publish(f"{name}-b", "Trains only")
    client.publish(f"{name}-a", TEXT)
    names = [f"{name}-b", f"{name}-a", f"{name}-b"]
    wanted = f"{TEXT}\n\nTrains only\n\nBe brief."
    assert documents_first("Be brief.", names) == documents_first("Be brief.", names[::-1], client) == wanted
    with pytest.raises(DocumentUnknown, match=f"{name}-c"):
        documents_first("Be brief.", f"{name}-c")


@pytest.mark.parametrize(
    ("model", "strict"),
    [
        ("smollm2-135m", True),
        ("Qwen/Qwen3-4B", True),
        ("meta-llama/Llama-3.2-1B-Instruct", True),
        ("Qwen/Qwen3-Coder-30B", False),
        ("mistralai/Mistral-7B-Instruct-v0.3", False),
    ],
)
async def test_a_model_is_asked_for_what_the_proxy_can_hold_it_to(model: str, strict: bool) -> None:
    async with KVProxyProvider() as provider:
        profile = OpenAIChatModel(model, provider=provider).profile
    assert profile["openai_supports_strict_tool_definition"] is strict
    assert profile["supports_forced_tool_choice"] is strict
    assert profile["supports_json_schema_output"]
    assert profile["json_schema_transformer"] is not None
    assert profile["supports_thinking"] is (model == "Qwen/Qwen3-4B")


async def test_a_profile_of_ones_own_wins() -> None:
    async with KVProxyProvider(profile={"supports_thinking": True}) as provider:
        profile = OpenAIChatModel("smollm2-135m", provider=provider).profile
    assert profile["supports_thinking"] and profile["supports_json_schema_output"]


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
async def test_native_tools_are_refused_before_they_are_sent(kind: Any) -> None:
    async with KVProxyProvider() as provider:
        agent = Agent(kind("fake", provider=provider), capabilities=[NativeTool(WebSearchTool())])
        with pytest.raises(UserError, match="WebSearch"):
            await agent.run("Hello")


async def test_a_client_of_ones_own(client: KVProxyClient) -> None:
    async with AsyncOpenAI(base_url=client.base_url, api_key="k") as own:
        provider = KVProxyProvider(openai_client=own)
        assert (provider.documents.root, provider.documents.api_key) == (client.root, "k")
        assert (await Agent(OpenAIChatModel("fake", provider=provider)).run("Hello")).output == "no"
        with pytest.raises(UserError):
            KVProxyProvider(openai_client=own, base_url="http://p:1")


async def test_environment(client: KVProxyClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    async with KVProxyProvider() as provider:
        assert (provider.name, provider.base_url) == ("kvproxy", f"{client.base_url}/")
        assert provider.client.api_key != "secret"
        assert (await Agent(OpenAIChatModel("fake", provider=provider)).run("Hello")).output == "no"


async def test_no_proxy() -> None:
    async with KVProxyProvider(base_url="http://127.0.0.1:9") as provider:
        with pytest.raises(ModelAPIError):
            await Agent(OpenAIChatModel("m", provider=provider)).run("Hello")
