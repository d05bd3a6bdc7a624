"""`KVProxyProvider`: a model provider of the Agents SDK for the models of a kvproxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast
from weakref import WeakKeyDictionary

from agents import (
    AgentOutputSchemaBase,
    Handoff,
    Model,
    ModelProvider,
    ModelSettings,
    ModelTracing,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Tool,
    TResponseInputItem,
)
from agents.items import TResponseStreamEvent
from openai import AsyncOpenAI, DefaultAsyncHttpx2Client
from openai.types.responses.response_prompt_param import ResponsePromptParam
from typing_extensions import override

from ._client import KVProxyClient


class KVProxyProvider(ModelProvider):
    """Model provider for one proxy. It reads and changes no global state: other providers are not affected.

    ``Runner.run(agent, question, run_config=provider.run_config())``, or ``RunConfig(model_provider=provider)``.
    Cached tokens are in ``result.context_wrapper.usage.input_tokens_details.cached_tokens``, streamed or not.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        use_responses: bool = True,
        openai_client: AsyncOpenAI | None = None,
    ) -> None:
        """Make a provider; no request is made.

        Args:
            model: For agents that name none; default: the model that the proxy serves, which is requested once.
            base_url: The proxy, with or without ``/v1``; default: KVPROXY_BASE_URL, else this machine's port 8321.
            api_key: For proxies that ask for one; default: KVPROXY_API_KEY. OPENAI_API_KEY is never sent.
            use_responses: Responses API, as is the SDK's own default; else chat completions.
            openai_client: Used as it is instead of the provider's own clients; the caller closes it.

        Example: ``KVProxyProvider("smollm2-135m", base_url="http://127.0.0.1:8321", use_responses=False)``
        """
        if openai_client is not None:
            base_url, api_key = str(openai_client.base_url), openai_client.api_key
        self.documents = KVProxyClient(base_url, api_key)
        self._model = model
        self._use_responses = use_responses
        self._given = openai_client
        # Connections belong to the loop that opened them, and a provider outlives an asyncio.run.
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = WeakKeyDictionary()

    @override
    def get_model(self, model_name: str | None) -> Model:
        """Return the model of this name, the provider's, or the proxy's.

        Raises KVProxyError where neither agent nor provider names a model and the proxy cannot be asked.
        """
        name = model_name or self._model
        if name is None:
            name = self._model = self.documents.served_model()
        if self._use_responses:
            return OpenAIResponsesModel(name, self._client(), model_is_explicit=True)
        return _ChatModel(name, self._client())

    def run_config(self, **settings: Any) -> RunConfig:
        """Make a RunConfig with this provider; its runs are not exported as traces to OpenAI.

        ``settings`` are RunConfig's own; ``tracing_disabled=False`` exports again.
        """
        return RunConfig(**{"model_provider": self, "tracing_disabled": True, **settings})

    @override
    async def aclose(self) -> None:
        """Close the provider's own connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def _client(self) -> AsyncOpenAI:
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = AsyncOpenAI(
                base_url=self.documents.base_url,
                api_key=self.documents.api_key,
                # The proxy is near: http_proxy and the like are not meant for it.
                http_client=DefaultAsyncHttpx2Client(trust_env=False),
            )
        return client


class _ChatModel(OpenAIChatCompletionsModel):
    """A chat model that requests the usage of streams; the SDK does so for OpenAI's own servers only."""

    @override
    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: ResponsePromptParam | None = None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        events = super().stream_response(
            system_instructions,
            input,
            ModelSettings(include_usage=True).resolve(model_settings),
            tools,
            output_schema,
            handoffs,
            tracing,
            previous_response_id,
            conversation_id,
            prompt,
        )
        async with aclosing(cast(Any, events)) as closed:
            async for event in closed:
                yield event
