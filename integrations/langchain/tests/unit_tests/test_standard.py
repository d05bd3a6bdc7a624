"""The standard unit tests of LangChain's chat models."""

from __future__ import annotations

import importlib

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.load import load
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_kvproxy import ChatKVProxy

PATH = ("langchain_kvproxy", "chat_models", "ChatKVProxy")


@pytest.fixture
def _listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """langchain-core lists the packages that `allowed_objects="all"` means, and takes no others.

    `test_serdes` says "all", so this package is listed for it; else it has to be named, as below.
    """
    module = importlib.import_module(load.__module__)
    monkeypatch.setitem(module.ALL_SERIALIZABLE_MAPPINGS, PATH, PATH)
    monkeypatch.setattr(module, "_default_class_paths_cache", {})


@pytest.mark.usefixtures("_listed")
class TestChatKVProxyStandard(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatKVProxy

    @property
    def chat_model_params(self) -> dict[str, object]:
        return {"model": "smollm2-135m", "base_url": "http://127.0.0.1:8321"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, object], dict[str, object]]:
        return (
            {"KVPROXY_API_KEY": "key-of-the-environment", "KVPROXY_BASE_URL": "http://proxy.example:8000"},
            {"model": "smollm2-135m"},
            {
                "openai_api_key": "key-of-the-environment",
                "openai_api_base": "http://proxy.example:8000/v1",
            },
        )
