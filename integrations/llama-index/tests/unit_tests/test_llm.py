"""The model against the fake proxy."""

from __future__ import annotations

import asyncio
import logging

import openai
import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.schema import Document
from llama_index.llms.kvproxy import (
    KVProxy,
    KVProxyClient,
    KVProxyError,
    KVProxyUsage,
    document_messages,
    publish_nodes,
    published_documents,
)

TEXT = "Employees have thirty days of leave a year"


def test_defaults() -> None:
    llm = KVProxy(max_retries=0)
    assert llm.model == "fake"
    assert llm.metadata.is_chat_model and llm.metadata.is_function_calling_model
    assert llm.metadata.context_window == 5000
    assert KVProxy(context_window=99).metadata.context_window == 99
    assert KVProxy("other").model == "other"


def test_publish_and_ask(client: KVProxyClient, name: str) -> None:
    node = Document(text=f"{TEXT} {name}", id_=name)
    (first,) = publish_nodes([node], client)
    (again,) = publish_nodes([node], client)
    assert (first.reference, first.created, again.created) == (f"{name}@1", True, False)
    messages = document_messages(published_documents([name]), "How many days?")
    llm, words = KVProxy(max_retries=0), len(TEXT.split()) + 1

    answers = [llm.chat(messages), list(llm.stream_chat(messages))[-1], asyncio.run(llm.achat(messages))]
    for answer in answers:
        assert answer.message.content == "no"
        assert answer.additional_kwargs["cached_tokens"] == words < answer.additional_kwargs["prompt_tokens"]
        assert answer.raw.usage.prompt_tokens_details.cached_tokens == words


async def test_streams_in_a_loop(client: KVProxyClient, name: str) -> None:
    await client.apublish(name, f"{TEXT} {name}")
    messages = document_messages([Document(text=await client.atext(name))], "How many days?")
    chunks = [chunk async for chunk in await KVProxy(max_retries=0).astream_chat(messages)]
    assert chunks[-1].additional_kwargs["cached_tokens"] == len(TEXT.split()) + 1


def test_a_callers_own_stream_options_stay() -> None:
    llm = KVProxy(max_retries=0, additional_kwargs={"stream_options": {"include_usage": False}})
    last = list(llm.stream_chat([ChatMessage("Hello")]))[-1]
    assert "cached_tokens" not in last.additional_kwargs


def test_usage_of_all_that_was_asked(client: KVProxyClient, name: str) -> None:
    client.publish(name, f"{TEXT} {name}")
    usage = KVProxyUsage()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(usage)
    try:
        llm = KVProxy(max_retries=0)
        messages = document_messages(published_documents([name]), "How many days?")
        llm.chat(messages)
        list(llm.stream_chat(messages))
    finally:
        dispatcher.event_handlers.remove(usage)
    assert usage.requests == 2 and usage.cached_tokens == 2 * (len(TEXT.split()) + 1)
    assert str(usage).startswith("18 of ")


def test_no_proxy(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KVProxyError, match="kvproxy serve"):
        KVProxy(api_base="http://127.0.0.1:9")
    away = KVProxy("m", api_base="http://127.0.0.1:9", max_retries=0)
    with caplog.at_level(logging.WARNING), pytest.raises(openai.APIConnectionError):
        away.chat([ChatMessage("Hello")])
    assert "kvproxy serve" in caplog.text


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    for reuse in (True, False):
        llm = KVProxy(max_retries=0, reuse_client=reuse)
        for _ in range(2):
            assert llm.complete("Hello").text == "no"
            assert asyncio.run(KVProxy(max_retries=0, reuse_client=reuse).acomplete("Hello")).text == "no"


def test_it_is_a_setting_like_any_other_llm() -> None:
    before = Settings._llm
    try:
        Settings.llm = KVProxy()
        assert Settings.llm.class_name() == "KVProxy"
        assert Settings.llm.to_dict()["model"] == "fake"
    finally:
        Settings._llm = before
