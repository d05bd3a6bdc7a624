"""A proxy that cannot answer: a LangChain user gets an exception with advice, or a plain miss."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from langchain_kvproxy import ChatKVProxy

from .fake_chat import MISS, FakeChat, running


@pytest.fixture
def fake() -> Iterator[FakeChat]:
    with running() as fake:
        yield fake


def model_of(fake: FakeChat, **fields: Any) -> ChatKVProxy:
    return ChatKVProxy(model="m", base_url=fake.url, max_retries=0, **fields)


def error(message: str, code: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"message": message, "type": kind, "param": None, "code": code}


REFUSALS = [
    (429, error("64 requests are running or waiting; try again shortly", "engine_busy", "rate_limit_error")),
    (400, error("the whole page budget is 3 pages. Raise engine.page_budget.", "page_budget_exceeded")),
    (404, error("No such document: 'handbook'. Publish it with `kvproxy publish`.", "document_not_found")),
    (503, error("The model `m` is not ready: it is loading.", "not_ready", "server_error")),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS, ids=[body["code"] for _, body in REFUSALS])
async def test_a_refusal_comes_in_the_proxys_own_words(
    fake: FakeChat, status: int, body: dict[str, Any]
) -> None:
    fake.refusal = (status, body)
    model = model_of(fake)
    for ask in (lambda: model.invoke("?"), lambda: list(model.stream("?"))):
        with pytest.raises(openai.APIStatusError) as refused:
            ask()
        assert refused.value.status_code == status
        assert refused.value.code == body["code"]
        assert body["message"] in str(refused.value)
    with pytest.raises(openai.APIStatusError, match=body["message"][:20]):
        await model.ainvoke("?")


async def test_a_slow_proxy_is_waited_for_as_long_as_the_model_says(fake: FakeChat) -> None:
    fake.delay_s = 1.0
    model = model_of(fake, timeout=0.1)
    with pytest.raises(openai.APITimeoutError):
        model.invoke("?")
    with pytest.raises(openai.APITimeoutError):
        async with asyncio.timeout(5):
            await model.ainvoke("?")


def test_an_unknown_text_is_a_plain_miss_with_its_reason(fake: FakeChat) -> None:
    fake.status = MISS
    answer = model_of(fake, documents=["A text that nobody has published. " * 9]).invoke("?")
    assert answer.text == "Thirty days"
    assert answer.response_metadata["kvproxy"]["status"] == "miss"
    assert answer.response_metadata["kvproxy"]["reason"] == "no-document"
