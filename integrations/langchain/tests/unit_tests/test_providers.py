"""`init_chat_model` with this package as a provider."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model

from langchain_kvproxy import ChatKVProxy, register_provider

from .fake_chat import FakeChat, running


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeChat]:
    with running() as fake:
        monkeypatch.setenv("KVPROXY_BASE_URL", fake.url)
        yield fake


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A table of this test's own."""
    base = importlib.import_module("langchain.chat_models.base")
    own = dict(base._BUILTIN_PROVIDERS)
    own.pop("kvproxy", None)
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", own)
    base._get_chat_model_creator.cache_clear()
    return own


def test_without_it_langchain_knows_no_such_provider() -> None:
    with pytest.raises(ValueError, match="kvproxy"):
        init_chat_model("m", model_provider="kvproxy")


def test_by_prefix_by_provider_and_in_an_agent(fake: FakeChat, table: dict[str, object]) -> None:
    register_provider()
    register_provider()
    for model in (
        init_chat_model("kvproxy:m", temperature=0, documents=["handbook"]),
        init_chat_model("m", model_provider="kvproxy", temperature=0, documents=["handbook"]),
    ):
        assert isinstance(model, ChatKVProxy)
        model.invoke("?")
        assert fake.bodies[-1]["messages"][0]["content"][0]["document"] == "handbook"
    create_agent("kvproxy:m", []).invoke({"messages": [("user", "?")]})
    assert [body["model"] for body in fake.bodies] == ["m"] * 3


async def test_configurable_at_run_time(fake: FakeChat) -> None:
    register_provider()
    fields = ("model", "model_provider", "base_url")
    chosen = init_chat_model(configurable_fields=fields, config_prefix="first", temperature=0)
    config = {"configurable": {"first_model": "kvproxy:m", "first_base_url": fake.url}}
    await chosen.ainvoke("?", config=config)
    chosen.invoke("?", config={"configurable": {"first_model": "n", "first_model_provider": "kvproxy"}})
    assert [body["model"] for body in fake.bodies] == ["m", "n"]


def test_as_openai_with_a_base_url(fake: FakeChat) -> None:
    """OpenAI's own provider with a base_url works without this package."""
    model = init_chat_model("openai:m", base_url=f"{fake.url}/v1", api_key="none")
    chosen = init_chat_model(
        "openai:m", base_url=f"{fake.url}/v1", api_key="none", configurable_fields=("model",)
    )
    model.invoke("?")
    chosen.invoke("?", config={"configurable": {"model": "openai:n"}})
    assert [body["model"] for body in fake.bodies] == ["m", "n"]


def test_a_langchain_that_keeps_them_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    base = importlib.import_module("langchain.chat_models.base")
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", {"openai": "langchain_openai"})
    with pytest.raises(RuntimeError, match="use ChatKVProxy, or init_chat_model"):
        register_provider()
