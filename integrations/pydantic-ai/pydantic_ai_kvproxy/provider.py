"""`KVProxyProvider`: a provider of Pydantic AI for the models of a kvproxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai.profiles import ModelProfile, merge_profile
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from typing_extensions import override

from ._client import KVProxyClient

NAME = "kvproxy"
"""The provider's name in message histories and telemetry."""

_CALLS_WITHOUT_GRAMMAR = (
    "mistral",
    "ministral",
    "mixtral",
    "codestral",
    "devstral",
    "magistral",
    "qwen3-coder",
)
"""Model families with a form of tool calls for which the proxy enforces neither a schema nor a call."""
_THINKS_WHEN_TOLD = "qwen3"
_NEVER_THINKS = ("coder", "instruct")


class KVProxyProvider(OpenAICompatibleProvider):
    """Provider for ``OpenAIChatModel`` and ``OpenAIResponsesModel``.

    ``Agent(OpenAIChatModel("smollm2-135m", provider=KVProxyProvider()))``. Cached tokens are in
    ``result.usage.cache_read_tokens``.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        openai_client: AsyncOpenAI | None = None,
        http_client: Any = None,
        profile: ModelProfile | Callable[[str], ModelProfile | None] | None = None,
    ) -> None:
        """Make a provider; no request is made.

        Args:
            base_url: The proxy, with or without ``/v1``; default: KVPROXY_BASE_URL, else this machine's port 8321.
            api_key: For proxies that ask for one; default: KVPROXY_API_KEY. OPENAI_API_KEY is never sent.
            openai_client: Instead of these two and ``http_client``.
            http_client: ``AsyncOpenAI``'s argument; a client that the provider made is closed with it.
            profile: Merged over each model's default, or a function that replaces it.

        Raises: pydantic_ai's UserError where ``openai_client`` comes with an argument that it replaces.

        Example: ``KVProxyProvider(base_url="http://127.0.0.1:8321", api_key="my-key")``
        """
        if openai_client is not None:
            self.documents = KVProxyClient(str(openai_client.base_url), openai_client.api_key)
            given: dict[str, Any] = {"base_url": base_url, "api_key": api_key, "http_client": http_client}
            named = {name: value for name, value in given.items() if value is not None}
            super().__init__(NAME, openai_client=openai_client, profile=profile, **named)
            return
        self.documents = KVProxyClient(base_url, api_key)
        super().__init__(
            NAME,
            base_url=self.documents.base_url,
            api_key=self.documents.api_key,
            http_client=http_client,
            profile=profile,
        )

    @staticmethod
    @override
    def model_profile(model_name: str) -> ModelProfile:
        """Return the model family's profile, overridden by the proxy's own abilities and limits for all models."""
        name = model_name.lower()
        constrained = not any(family in name for family in _CALLS_WITHOUT_GRAMMAR)
        thinks = _THINKS_WHEN_TOLD in name and not any(kind in name for kind in _NEVER_THINKS)
        return merge_profile(
            OpenAICompatibleProvider.model_profile(model_name),
            OpenAIModelProfile(
                supports_json_schema_output=True,
                supports_json_object_output=True,
                # A grammar masks tokens; the model does not see the schema.
                native_output_requires_schema_in_instructions=True,
                openai_supports_strict_tool_definition=constrained,
                supports_forced_tool_choice=constrained,
                supports_thinking=thinks,
                openai_supports_prompt_cache_breakpoints=True,
                # Many templates take one system message, and it must be the first.
                openai_chat_supports_multiple_system_messages=False,
                openai_chat_supports_document_input=False,
                supports_image_output=False,
                supported_native_tools=frozenset(),
            ),
        )
