"""The text that `dumps` writes can be loaded again by naming the class, and holds no key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.prompts import (
    ChatPromptTemplate,
    HumanMessagePromptTemplate,
    PromptTemplate,
    SystemMessagePromptTemplate,
)
from pydantic import SecretStr

from langchain_kvproxy import ChatKVProxy, DocumentLayout, KVProxyRetriever, document_prompt

from .fake_retriever import TEXTS, Found

pytestmark = pytest.mark.filterwarnings("ignore:The function `load", "ignore:The default value of `allowed")

KEY = "a-secret-key"
PROMPTS = [ChatPromptTemplate, HumanMessagePromptTemplate, PromptTemplate, SystemMessagePromptTemplate]
LEAVE = Document("Leave is 30 days", id="leave", metadata={"kvproxy_document": "leave@2"})


def loaded(text: str, **options: Any) -> Any:
    return loads(
        text,
        allowed_objects=[ChatKVProxy, DocumentLayout, Document],
        valid_namespaces=["langchain_kvproxy"],
        **options,
    )


@pytest.mark.parametrize("documents", [["handbook@2"], [LEAVE, "handbook"], []])
def test_a_chat_model(documents: list[Any]) -> None:
    model = ChatKVProxy(
        model="m",
        base_url="http://p:1",
        documents=documents,
        documents_by="text",
        cache_salt="mine",
        api_key=SecretStr(KEY),
        max_tokens=7,
        extra_body={"top_k": 3},
    )
    text = dumps(model)
    assert KEY not in text and "not_implemented" not in text
    again = loaded(text, secrets_map={"KVPROXY_API_KEY": KEY})
    assert dumps(again) == text
    assert (again.documents, again.documents_by, again.cache_salt) == (documents, "text", "mine")
    assert again.openai_api_key.get_secret_value() == KEY and again.openai_api_base == "http://p:1/v1"
    assert again.asdict() == model.asdict()


def test_a_key_of_the_environment_is_taken_from_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVPROXY_API_KEY", KEY)
    text = dumps(ChatKVProxy())
    assert KEY not in text
    again = loaded(text, secrets_from_env=True)
    assert again.openai_api_key.get_secret_value() == KEY and again.model_name == ""


def test_a_chain_of_a_prompt_and_a_bound_model() -> None:
    prompt = document_prompt("Answer briefly.", documents=[LEAVE, "handbook"])
    text = dumps(prompt | ChatKVProxy(model="m", api_key=SecretStr(KEY)).bind(stop=["x"]))
    assert KEY not in text and "not_implemented" not in text
    layout = load(
        dumpd(prompt),
        allowed_objects=[DocumentLayout, Document, *PROMPTS],
        valid_namespaces=["langchain_kvproxy"],
    )
    assert layout.invoke({"question": "?"}) == prompt.invoke({"question": "?"})


def test_a_retriever_is_none_of_langchains_serialisable_ones_and_tells_no_key() -> None:
    """Like LangChain's own retrievers, it stands in traces under its name."""
    retriever = KVProxyRetriever(retriever=Found(documents=TEXTS), api_key=SecretStr(KEY), register="never")
    with retriever:
        written = json.loads(dumps(retriever))
    assert written["type"] == "not_implemented" and KEY not in json.dumps(written)
