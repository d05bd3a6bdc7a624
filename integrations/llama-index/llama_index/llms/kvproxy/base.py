"""`KVProxy`: the chat model, an OpenAILike with a kvproxy's defaults and cached tokens in its answers."""

from __future__ import annotations

import logging
from typing import Any

import openai
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.llms.openai_like import OpenAILike
from typing_extensions import override

from ._client import KVProxyClient, ProxyUnreachable

_log = logging.getLogger(__name__)

COLD_PROMPT_S = 600.0
"""Timeout in seconds. A long document's first prefill takes its time; LlamaIndex's default is 60 s."""


class KVProxy(OpenAILike):
    """Chat model behind a kvproxy.

    Everything of ``OpenAILike`` works (tools, structured output, streams, async). Its answers have ``cached_tokens``
    in ``additional_kwargs``, beside ``prompt_tokens``, streamed or not; ``raw`` has the proxy's whole usage.

    Args:
        model: The model's name; default: the one that the proxy serves, which is requested at once.
        api_base: The proxy, with or without ``/v1``; default: KVPROXY_BASE_URL, else this machine's port 8321.
        api_key: For proxies that ask for one; default: KVPROXY_API_KEY.
        context_window: In tokens; default: the proxy's figure, requested when it is first needed.
        kwargs: All arguments of ``OpenAILike``.

    Examples:
        `pip install llama-index-llms-kvproxy`

        ```python
        from llama_index.core.llms import ChatMessage
        from llama_index.llms.kvproxy import KVProxy

        llm = KVProxy()
        answer = llm.chat([ChatMessage(open("handbook.md").read(), role="system"), ChatMessage("How many days?")])
        print(answer.message.content, answer.additional_kwargs["cached_tokens"])
        ```
    """

    _documents: KVProxyClient = PrivateAttr()
    _window: int | None = PrivateAttr(default=None)

    def __init__(
        self,
        model: str | None = None,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        context_window: int | None = None,
        is_chat_model: bool = True,
        is_function_calling_model: bool = True,
        should_use_structured_outputs: bool = True,
        timeout: float = COLD_PROMPT_S,
        **kwargs: Any,
    ) -> None:
        """Make a chat model; see the class for the arguments.

        Raises KVProxyError where no model is named and the proxy cannot be asked for its own.

        Example: ``KVProxy("smollm2-135m", api_base="http://127.0.0.1:8321", temperature=0.0)``
        """
        documents = KVProxyClient(api_base, api_key)
        super().__init__(
            model=model or documents.served_model(),
            api_base=documents.base_url,
            api_key=documents.api_key,
            context_window=context_window or DEFAULT_CONTEXT_WINDOW,
            is_chat_model=is_chat_model,
            is_function_calling_model=is_function_calling_model,
            should_use_structured_outputs=should_use_structured_outputs,
            timeout=timeout,
            **kwargs,
        )
        self._documents = documents
        self._window = context_window

    @classmethod
    @override
    def class_name(cls) -> str:
        """Return the name that LlamaIndex serialises the class by."""
        return "KVProxy"

    @property
    def documents(self) -> KVProxyClient:
        """The proxy's documents: ``llm.documents.publish("handbook", text)``."""
        return self._documents

    @property
    @override
    def metadata(self) -> LLMMetadata:
        """Return the model's metadata, with the context window that the proxy serves."""
        known: LLMMetadata = super().metadata
        return known.model_copy(update={"context_window": self._known_window()})

    def _known_window(self) -> int:
        """Return the context window in tokens; a guess while the proxy does not answer, which is asked again then.

        The chat request that follows reports the fault.
        """
        assumed: int = self.context_window
        if self._window is None:
            try:
                self._window = self._documents.context_window(self.model) or assumed
            except ProxyUnreachable as e:
                _log.warning("the context window is taken for %d: %s", assumed, e)
                return assumed
        return self._window

    @override
    def _get_model_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Return the request's settings; streams are asked for their usage, which they omit by default."""
        settings: dict[str, Any] = super()._get_model_kwargs(**kwargs)
        if settings.get("stream"):
            settings.setdefault("stream_options", {"include_usage": True})
        return settings

    @override
    def _get_credential_kwargs(self, is_async: bool = False) -> dict[str, Any]:
        """Return openai's settings; `http_proxy` and the like are ignored, since the proxy is near."""
        settings: dict[str, Any] = super()._get_credential_kwargs(is_async=is_async)
        if settings["http_client"] is None:
            kind = openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient
            settings["http_client"] = kind(trust_env=False)
        return settings

    @override
    def _get_response_token_counts(self, raw_response: Any) -> dict[str, Any]:
        counts: dict[str, Any] = super()._get_response_token_counts(raw_response)
        details = getattr(getattr(raw_response, "usage", None), "prompt_tokens_details", None)
        if counts and details is not None:
            counts["cached_tokens"] = details.cached_tokens or 0
        return counts
