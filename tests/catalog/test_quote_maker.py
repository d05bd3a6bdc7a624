from __future__ import annotations

import time
from pathlib import Path

import pytest

from kvproxy.core import Caller, ChatRequest, DocumentRef, Message, TextPart
from kvproxy.errors import InvalidRequest, ModelNotFound, NotReady
from kvproxy.tariffs import ModelPrices, Tariff
from tests.server.market_double import market_proxy

ALICE = Caller("alice", "tenant:alice")
TEXT = "Everyone has 25 days of leave. " * 20


def chat(text: str, model: str = "fake", n: int = 1) -> ChatRequest:
    return ChatRequest(model, (Message("user", (TextPart(text),)),), n=n)


async def test_the_prices_of_a_quote_stay_while_the_tariff_changes(tmp_path: Path) -> None:
    with market_proxy(tmp_path) as made:
        maker, quotes = made.market.quote_maker, made.market.quotes
        assert maker is not None and quotes is not None
        quoted = await maker.of_request(chat("hello"), ALICE)
        now = int(time.time() * 1000)
        dear = Tariff.of("USD", now, {"fake": ModelPrices(input=9 * 10**9, output=10**9)})
        made.tariffs.record(dear, now_ms=now - 1)
        later = await maker.of_request(chat("hello"), ALICE)
        assert later.body["miss"]["nano"] > quoted.body["miss"]["nano"]
        honoured = await quotes.honour(quoted.jws, ALICE, now)
        old = made.tariffs.by_id(honoured.tariff)
        assert old is not None and old.id != dear.id == later.body["tariff"]
        assert honoured.most_nano == quoted.body["most"]["nano"]


async def test_every_choice_of_an_answer_may_be_long(tmp_path: Path) -> None:
    with market_proxy(tmp_path) as made:
        maker = made.market.quote_maker
        assert maker is not None
        one, three = [(await maker.of_request(chat("hi", n=n), ALICE)).body for n in (1, 3)]
        assert three["max_tokens"] == 3 * one["max_tokens"] == 192
        assert three["most"]["nano"] - one["most"]["nano"] == 2 * 64 * 15_000


async def test_a_quote_holds_and_computes_nothing(tmp_path: Path) -> None:
    with market_proxy(tmp_path) as made:
        maker, backend = made.market.quote_maker, made.proxy.backend
        assert maker is not None
        await made.proxy.publisher.publish("handbook", TEXT, "public", ALICE)
        body = (await maker.of_document(DocumentRef("handbook", 1), ALICE)).body
        assert body["decision"] == "hit" and body["saved"]["nano"] == len(TEXT) * 4500 + 4500 * (
            body["cached_tokens"] - len(TEXT)
        )
        assert backend.generations == [] and backend.holds == 0 and backend.check() == []


async def test_what_cannot_be_quoted(tmp_path: Path) -> None:
    with market_proxy(tmp_path) as made:
        maker = made.market.quote_maker
        assert maker is not None
        with pytest.raises(ModelNotFound):
            await maker.of_request(chat("hi", model="gpt-far"), ALICE)
        made.proxy.backend.not_ready = "its model is loading"
        with pytest.raises(NotReady, match="loading"):
            await maker.of_request(chat("hi"), ALICE)
    with market_proxy(tmp_path / "free", priced=False) as made:
        maker = made.market.quote_maker
        assert maker is not None
        with pytest.raises(InvalidRequest, match="free"):
            await maker.of_request(chat("hi"), ALICE)
