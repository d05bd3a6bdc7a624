"""The provider against the fake proxy."""

from __future__ import annotations

import asyncio

import openai
import pytest
from agents import Agent, RunConfig, Runner, set_trace_processors
from agents.tracing import TracingProcessor
from openai import AsyncOpenAI
from openai_agents_kvproxy import (
    DocumentUnknown,
    KVProxyClient,
    KVProxyError,
    KVProxyProvider,
    adocuments_first,
    documents_first,
)

TEXT = "Employees have thirty days of leave a year"
WORDS = len(TEXT.split()) + 1


async def asked(agent: Agent[None], provider: KVProxyProvider) -> tuple[str, int, int]:
    result = await Runner.run(agent, "How many days?", run_config=provider.run_config())
    await provider.aclose()
    usage = result.context_wrapper.usage
    return result.final_output, usage.input_tokens_details.cached_tokens, usage.input_tokens


@pytest.mark.parametrize("use_responses", [True, False])
def test_a_document_in_front_of_the_instructions(
    client: KVProxyClient, name: str, use_responses: bool
) -> None:
    """In one event loop after the other; the agent names no model, so that the proxy's is taken."""
    client.publish(name, f"{TEXT} {name}")
    provider = KVProxyProvider(use_responses=use_responses)
    agent = Agent(name="Reader", instructions=documents_first("Be brief.", name))
    for _ in range(2):
        output, cached, prompt = asyncio.run(asked(agent, provider))
        assert output == "no" and cached == WORDS < prompt


async def test_cached_tokens_of_a_stream(client: KVProxyClient, name: str) -> None:
    await client.apublish(name, f"{TEXT} {name}")
    provider = KVProxyProvider("fake", use_responses=False)
    agent = Agent(name="Reader", instructions=await adocuments_first("Be brief.", [name]))
    streamed = Runner.run_streamed(agent, "How many days?", run_config=RunConfig(model_provider=provider))
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == "no"
    assert streamed.context_wrapper.usage.input_tokens_details.cached_tokens == WORDS
    await provider.aclose()


class Heard(TracingProcessor):
    def __init__(self) -> None:
        self.traces: list[str] = []

    def on_trace_start(self, trace: object) -> None:
        self.traces.append("trace")

    def on_trace_end(self, trace: object) -> None: ...
    def on_span_start(self, span: object) -> None: ...
    def on_span_end(self, span: object) -> None: ...
    def shutdown(self) -> None: ...
    def force_flush(self) -> None: ...


async def test_traces_stay_here_unless_they_are_asked_for() -> None:
    heard = Heard()
    set_trace_processors([heard])
    provider = KVProxyProvider("fake")
    agent = Agent(name="Reader", instructions="Be brief.")
    await Runner.run(agent, "Hello", run_config=provider.run_config(workflow_name="w"))
    assert heard.traces == []
    await Runner.run(agent, "Hello", run_config=provider.run_config(tracing_disabled=False))
    assert heard.traces == ["trace"]
    await provider.aclose()


def test_one_order_each_once(client: KVProxyClient, name: str) -> None:
    client.publish(f"{name}-b", "Trains only")
    client.publish(f"{name}-a", TEXT)
    names = [f"{name}-b", f"{name}-a", f"{name}-b"]
    wanted = f"{TEXT}\n\nTrains only\n\nBe brief."
    assert documents_first("Be brief.", names) == wanted
    assert documents_first("Be brief.", reversed(names), client) == wanted
    with pytest.raises(DocumentUnknown, match=f"{name}-c"):
        documents_first("Be brief.", f"{name}-c")


async def test_a_client_of_ones_own(client: KVProxyClient) -> None:
    async with AsyncOpenAI(base_url=client.base_url, api_key="k") as own:
        provider = KVProxyProvider(openai_client=own)
        assert (provider.documents.root, provider.documents.api_key) == (client.root, "k")
        result = await Runner.run(Agent(name="A"), "Hello", run_config=provider.run_config())
        assert result.final_output == "no"
        await provider.aclose()
        assert not own.is_closed()


async def test_environment_of_openai_and_of_proxies_is_not_read(
    client: KVProxyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENAI_BASE_URL", "http_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    provider = KVProxyProvider("fake")
    assert provider.documents.api_key != "secret"
    result = await Runner.run(Agent(name="A"), "Hello", run_config=provider.run_config())
    assert result.final_output == "no"
    await provider.aclose()


async def test_no_proxy() -> None:
    with pytest.raises(KVProxyError, match="kvproxy serve"):
        KVProxyProvider(base_url="http://127.0.0.1:9").get_model(None)
    provider = KVProxyProvider("m", base_url="http://127.0.0.1:9")
    with pytest.raises(openai.APIConnectionError):
        await Runner.run(Agent(name="A"), "Hello", run_config=provider.run_config())
    await provider.aclose()
