"""A misspelt argument is refused, with the name that was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from langchain_kvproxy import ChatKVProxy, DocumentLayout, KVProxyRetriever, document_prompt

from .fake_chat import FakeChat, running
from .fake_retriever import TEXTS, Found


@pytest.fixture
def fake() -> Iterator[FakeChat]:
    with running() as fake:
        yield fake


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("bas_url", "base_url"),
        ("documnets", "documents"),
        ("tempreature", "temperature"),
        ("apikey", "api_key"),
    ],
)
def test_of_a_chat_model(wrong: str, meant: str) -> None:
    options: dict[str, Any] = {"model": "m", wrong: "x"}
    with pytest.raises(TypeError, match=rf"unexpected keyword argument '{wrong}'; did you mean '{meant}'\?"):
        ChatKVProxy(**options)


def test_what_is_no_typo_is_told_where_it_belongs() -> None:
    options: dict[str, Any] = {"model": "m", "zzzz": 1}
    with pytest.raises(TypeError, match=r"'zzzz'\. Fields of the request .* extra_body"):
        ChatKVProxy(**options)
    ChatKVProxy(model="m", extra_body={"zzzz": 1}, model_kwargs={"parallel_tool_calls": False})


async def test_of_an_invocation(fake: FakeChat) -> None:
    model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0)
    expected = "'max_tokenz'; did you mean 'max_tokens'"
    for ask in (lambda: model.invoke("?", max_tokenz=1), lambda: list(model.stream("?", max_tokenz=1))):
        with pytest.raises(TypeError, match=expected):
            ask()
    with pytest.raises(TypeError, match=expected):
        await model.bind(max_tokenz=1).ainvoke("?")
    assert fake.bodies == []
    model.invoke("?", max_tokens=1, extra_body={"top_k": 3}, documents=["handbook"], stop=["x"])
    assert fake.bodies[0]["top_k"] == 3


def test_of_a_retriever_and_a_prompt() -> None:
    options: dict[str, Any] = {"retriever": Found(documents=TEXTS), "max_token": 3}
    with pytest.raises(TypeError, match=r"KVProxyRetriever .* did you mean 'max_tokens'"):
        KVProxyRetriever(**options)
    options = {"prompt": document_prompt().prompt, "input_variables": [], "bye": "text"}
    with pytest.raises(TypeError, match=r"DocumentLayout .* did you mean 'by'"):
        DocumentLayout(**options)
