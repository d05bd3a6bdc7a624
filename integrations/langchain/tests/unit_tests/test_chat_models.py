from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from langchain_kvproxy import ChatKVProxy, KVProxyUsageHandler

from .fake_chat import HIT, FakeChat, running


class Leave(BaseModel):
    days: int


def model_with(**fields: Any) -> ChatKVProxy:
    """By the names that users write; mypy knows the fields behind these aliases alone."""
    return ChatKVProxy(**fields)


@pytest.fixture
def fake() -> Iterator[FakeChat]:
    with running() as fake:
        yield fake


@pytest.fixture
def model(fake: FakeChat) -> ChatKVProxy:
    return model_with(model="m", base_url=fake.url, max_retries=0)


def gathered(model: Any, question: str) -> Any:
    whole, *rest = model.stream(question)
    for chunk in rest:
        whole += chunk
    return whole


async def agathered(model: Any, question: str) -> Any:
    chunks = [chunk async for chunk in model.astream(question)]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


async def answers(model: Any) -> list[Any]:
    """The same question in the four ways."""
    question = "How many?"
    sync = [model.invoke(question), gathered(model, question)]
    return [*sync, await model.ainvoke(question), await agathered(model, question)]


@pytest.mark.parametrize("structured", [False, True])
async def test_tells_hits_and_cached_tokens_in_every_way(
    fake: FakeChat, model: ChatKVProxy, structured: bool
) -> None:
    fake.status, fake.cached = HIT, 40

    for answer in await answers(model.bind(response_format=Leave) if structured else model):
        report = answer.response_metadata["kvproxy"]
        assert (report["status"], report["document"], report["version"]) == ("hit", "handbook", 3)
        assert report["tokens"] == 40
        assert report["timings_ms"]["prefill"] == 50.0
        assert answer.usage_metadata["input_token_details"] == {"cache_read": 40, "cache_creation": 10}
        assert answer.response_metadata["model_provider"] == "kvproxy"
        assert "headers" not in answer.response_metadata


async def test_tells_why_it_missed(model: ChatKVProxy) -> None:
    for answer in await answers(model):
        report = answer.response_metadata["kvproxy"]
        assert (report["status"], report["reason"], report["document"]) == ("miss", "no-document", None)


async def test_a_stream_that_began_undecided_is_told_by_its_usage(fake: FakeChat, model: ChatKVProxy) -> None:
    fake.late, fake.cached = True, 40

    for answer in [gathered(model, "?"), await agathered(model, "?"), gathered(model.bind(n=1), "?")]:
        assert answer.response_metadata["kvproxy"]["status"] == "hit"
        assert answer.response_metadata["kvproxy"]["tokens"] == 40


def test_keeps_the_headers_of_those_who_ask(fake: FakeChat) -> None:
    model = model_with(model="m", base_url=fake.url, include_response_headers=True)

    assert "cache-status" in {name.lower() for name in model.invoke("?").response_metadata["headers"]}


async def test_thoughts_come_and_go_back(fake: FakeChat, model: ChatKVProxy) -> None:
    fake.thoughts = "Hmm"

    for answer in await answers(model):
        assert answer.additional_kwargs["reasoning_content"] == "Hmm"
    model.invoke([HumanMessage("1"), AIMessage("2", additional_kwargs={"reasoning_content": "Hmm"})])

    assert fake.bodies[-1]["messages"][1]["reasoning_content"] == "Hmm"


def test_documents_stand_at_the_head_of_the_system_message(fake: FakeChat, model: ChatKVProxy) -> None:
    always = model.model_copy(update={"documents": ["handbook@3"]})

    always.invoke([("system", "Be brief"), ("human", "?")])
    system, user = fake.bodies[-1]["messages"]
    assert system["content"][0]["document"] == "handbook@3"
    assert system["content"][1] == {"type": "text", "text": "Be brief"}
    assert user == {"role": "user", "content": "?"}

    always.bind(documents=[Document("Trains only")]).invoke("?")
    parts = fake.bodies[-1]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text"]
    assert "documents" not in fake.bodies[-1]

    always.invoke("?", documents=[])
    assert fake.bodies[-1]["messages"] == [{"role": "user", "content": "?"}]


def test_counts_what_would_be_sent(fake: FakeChat, model: ChatKVProxy) -> None:
    assert model.get_num_tokens("one two") == len(model.get_token_ids("one two"))
    assert fake.bodies[-1] == {"prompt": "one two", "model": "m"}


def test_structured_output_is_by_schema(fake: FakeChat, model: ChatKVProxy) -> None:
    assert model.with_structured_output(Leave).invoke("?") == Leave(days=30)
    assert fake.bodies[-1]["response_format"]["json_schema"]["strict"] is True


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_one_model_in_several_event_loops(model: ChatKVProxy) -> None:
    """One after another, and with a connection of an earlier one left open."""
    for _ in range(3):
        answers = asyncio.run(model.abatch(["a", "b"]))
        assert [answer.text for answer in answers] == ["Thirty days", "Thirty days"]


async def test_no_proxy_says_how_to_start_one() -> None:
    model = model_with(model="m", base_url="http://127.0.0.1:9", max_retries=0)

    with pytest.raises(openai.APIConnectionError, match="kvproxy serve"):
        model.invoke("?")
    with pytest.raises(openai.APIConnectionError, match="kvproxy serve"):
        await agathered(model, "?")
    with pytest.raises(openai.APIConnectionError, match="kvproxy serve"):
        model.get_num_tokens("?")


def test_the_responses_api_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="speaks Chat Completions"):
        model_with(model="m", use_responses_api=True)


def test_openais_own_settings_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_API_KEY": "sk-secret",
        "OPENAI_API_BASE": "https://api.openai.com/v1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("KVPROXY_API_KEY", "KVPROXY_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    model = model_with(model="m")

    assert model.openai_api_base == "http://127.0.0.1:8321/v1"
    assert model.root_client.api_key == "none"


def test_usage_of_a_run(fake: FakeChat, model: ChatKVProxy) -> None:
    with KVProxyUsageHandler() as outer, KVProxyUsageHandler() as usage:
        model.invoke("?")
        assert usage.totals()["seconds_saved"] == 0.0
        fake.status, fake.cached = HIT, 40
        list(model.stream("?"))
    model.invoke("not counted")

    totals = usage.totals()
    assert totals == outer.totals()
    assert (totals["requests"], totals["hits"], totals["misses"]) == (2, 1, 1)
    assert (totals["prompt_tokens"], totals["cached_tokens"], totals["cache_write_tokens"]) == (100, 40, 60)
    assert totals["documents"] == {"handbook": {"hits": 1, "misses": 0, "cached_tokens": 40}}
    assert totals["miss_reasons"] == {"no-document": 1}
    assert totals["seconds_saved"] == pytest.approx(40 * 0.050 / 50 - 0.002)
    assert "handbook: 1 hits" in usage.summary()


def test_seconds_saved_is_unknown_without_a_miss(fake: FakeChat, model: ChatKVProxy) -> None:
    fake.status, fake.cached = HIT, 40
    usage = KVProxyUsageHandler()

    model.invoke("?", config={"callbacks": [usage]})

    assert usage.totals()["seconds_saved"] is None
    assert "unknown" in usage.summary()


COST = {
    "currency": "USD",
    "cost": "0.000000377",
    "cold_cost": "0.0019",
    "saved": "0.001899623",
    "tariff": "0123456789ab",
    "receipt": None,
}


async def test_an_answer_says_what_it_cost(fake: FakeChat, model: ChatKVProxy) -> None:
    fake.cost = COST
    with KVProxyUsageHandler() as usage:
        whole = model.invoke("?")
        pieces = list(model.stream("?"))
        later = [piece async for piece in model.astream("?")]
    assert whole.response_metadata["kvproxy_cost"] == COST
    for chunks in (pieces, later):
        added = chunks[0]
        for chunk in chunks[1:]:
            added += chunk
        assert added.response_metadata["kvproxy_cost"] == COST
    assert usage.totals()["spent"] == {
        "USD": {"cost": "0.000001131", "cold_cost": "0.0057", "saved": "0.005698869"}
    }
    assert "cost: 0.000001131 USD, 0.0057 without kept pages, saved 0.005698869" in usage.summary()


def test_without_a_tariff_nothing_costs_anything(fake: FakeChat, model: ChatKVProxy) -> None:
    # Another provider's field of that name, a float, is not taken for a price.
    fake.cost = None
    with KVProxyUsageHandler() as usage:
        assert "kvproxy_cost" not in model.invoke("?").response_metadata
        fake.cost = {"currency": "USD", "cost": 0.5}
        assert "kvproxy_cost" not in model.invoke("?").response_metadata
    assert usage.totals()["spent"] == {} and "cost:" not in usage.summary()


def test_failures_are_counted() -> None:
    model = model_with(model="m", base_url="http://127.0.0.1:9", max_retries=0)
    with KVProxyUsageHandler() as usage, pytest.raises(openai.APIConnectionError):
        model.invoke("?")

    assert (usage.totals()["requests"], usage.totals()["failures"]) == (1, 1)
