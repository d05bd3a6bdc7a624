"""The standard integration tests of LangChain's chat models, against a running proxy."""

from __future__ import annotations

import os
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_kvproxy import ChatKVProxy, KVProxyClient

# langchain-openai says that it takes function calling for pydantic's V1 schemas; one test asks with those.
pytestmark = pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning")


class TestChatKVProxyStandard(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatKVProxy

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # The bundled model does not know when to end, neither a text nor a row of calls.
        return {
            "model": os.environ["KVPROXY_MODEL"],
            "temperature": 0,
            "max_tokens": 256,
            "frequency_penalty": 1.0,
            "model_kwargs": {"parallel_tool_calls": False},
        }

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return os.environ["KVPROXY_MODEL"]

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {mode: ["cache_read_input", "cache_creation_input"] for mode in ("invoke", "stream")}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        with KVProxyClient() as client:
            client.publish("standard/cache-read", "A published text is read once and kept. " * 80)
        return self._asked("standard/cache-read", stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self._asked("What is asked first is kept for those who ask again. " * 40, stream)

    def _asked(self, document: str, stream: bool) -> AIMessage:
        model = ChatKVProxy(**{**self.chat_model_params, "max_tokens": 8}, documents=[document])
        if not stream:
            return model.invoke("What is kept?")
        whole, *rest = model.stream("What is kept?")
        for chunk in rest:
            whole += chunk
        return whole

    @pytest.mark.xfail(
        strict=True,
        reason="The schema stands in the question only; SmolLM2-135M forgets the second of its two fields.",
    )
    def test_json_mode(self, model: BaseChatModel) -> None:
        super().test_json_mode(model)

    @pytest.mark.xfail(
        strict=True,
        reason="Nothing forces the call; SmolLM2-135M makes up the weather instead of asking the tool.",
    )
    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    def test_agent_loop(self, model: BaseChatModel) -> None:
        super().test_agent_loop(model)
