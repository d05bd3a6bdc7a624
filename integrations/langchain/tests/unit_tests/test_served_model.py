"""A chat model without a name asks for the one model that the proxy serves."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from langchain_kvproxy import ChatKVProxy

from .fake_chat import FakeChat, running

SCHEMA = {"title": "x", "type": "object", "properties": {"days": {"type": "integer"}}}


@pytest.fixture
def fake() -> Iterator[FakeChat]:
    with running() as fake:
        yield fake


@pytest.fixture
def model(fake: FakeChat) -> ChatKVProxy:
    return ChatKVProxy(base_url=fake.url, max_retries=0)


async def test_it_is_asked_once_and_only_when_needed(fake: FakeChat, model: ChatKVProxy) -> None:
    assert fake.listings == 0
    model.invoke("?", model="another")
    assert fake.listings == 0
    model.invoke("?")
    list(model.stream("?"))
    await model.bind(stop=["x"]).ainvoke("?")
    assert [chunk async for chunk in model.astream("?")]
    model.get_num_tokens("how many")
    assert [body["model"] for body in fake.bodies] == ["another", *["smollm2-135m"] * 5]
    assert fake.listings == 1


async def test_asynchronously_first(fake: FakeChat, model: ChatKVProxy) -> None:
    await model.ainvoke("?")
    assert [chunk async for chunk in model.with_structured_output(SCHEMA).astream("?")]
    assert fake.listings == 1 and fake.bodies[-1]["model"] == "smollm2-135m"


async def test_other_names_of_one_model_are_no_other_models(fake: FakeChat, model: ChatKVProxy) -> None:
    fake.models = [{"id": "gpt-5", "root": "m"}, {"id": "m", "root": "m"}]
    model.invoke("?")
    assert fake.bodies[0]["model"] == "m"


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (["b", "a"], r"serves 2 models \(a, b\): name one, ChatKVProxy\(model=…\)"),
        ([], "no model"),
    ],
)
async def test_several_or_none_is_an_error_that_names_them(
    fake: FakeChat, model: ChatKVProxy, served: list[str], message: str
) -> None:
    fake.models = [{"id": id} for id in served]
    with pytest.raises(ValueError, match=message):
        model.invoke("?")
    with pytest.raises(ValueError, match=message):
        await model.ainvoke("?")
    with pytest.raises(ValueError, match=message):
        model.get_num_tokens("?")


def test_no_proxy_says_what_to_do() -> None:
    with pytest.raises(openai.APIConnectionError, match="kvproxy serve"):
        ChatKVProxy(base_url="http://127.0.0.1:9", max_retries=0).invoke("?")
