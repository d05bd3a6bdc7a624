"""A 402 is raised with its quote, or paid by the caller's payer within the cap."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import openai
import pytest
from pydantic import ValidationError

from langchain_kvproxy import ChatKVProxy, PaymentRequiredError, ProxyRefused, TopupChallenge
from langchain_kvproxy._topups import amount_of

from .fake_chat import FakeChat, running

QUOTE = {
    "object": "kv_quote",
    "most": {"nano": 20_000_000, "amount": "0.02", "currency": "USD"},
    "payment": {"topup": {"least": "0.015"}},
}
REFUSED = (402, {"message": "The balance is 0 USD.", "code": "payment_required"})


class Market(FakeChat):
    """A proxy that refuses until it is paid."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal, self.quote = REFUSED, QUOTE
        self.credited: list[str] = []
        self.accepts_payments = True

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/kv/v1/topup":
            return super().answer(request)
        amount = json.loads(request.content)["amount"]
        if "payment-authorization" not in request.headers or not self.accepts_payments:
            error = {"message": "pay", "code": "payment_required"}
            return httpx.Response(402, json={"error": error, "quote": {"payment": {"mpp": ["Payment …"]}}})
        assert request.headers["authorization"] == "Bearer reader-key"
        self.credited.append(amount)
        self.refusal = None
        return httpx.Response(200, json={"object": "kv_topup"})


class Wallet:
    def __init__(self) -> None:
        self.asked: list[TopupChallenge] = []

    def pay(self, asked: TopupChallenge) -> Mapping[str, str]:
        self.asked.append(asked)
        return {"Payment-Authorization": "Payment signed"}


@pytest.fixture
def market() -> Iterator[Market]:
    with running(Market()) as fake:
        assert isinstance(fake, Market)
        yield fake


def paying(market: Market, wallet: Wallet, cap: str = "1") -> ChatKVProxy:
    return ChatKVProxy(
        base_url=market.url,
        api_key="reader-key",
        model="m",
        on_payment_required="topup",
        topup_cap=cap,
        payer=wallet,
    )


async def test_it_is_raised_with_the_quote(market: Market) -> None:
    model = ChatKVProxy(base_url=market.url, model="m")
    with pytest.raises(PaymentRequiredError, match=r"The balance is 0 USD\.") as raised:
        model.invoke("?")
    assert raised.value.quote == QUOTE and raised.value.status == 402
    assert isinstance(raised.value, ProxyRefused)
    with pytest.raises(PaymentRequiredError):
        await model.ainvoke("?")
    with pytest.raises(PaymentRequiredError):
        list(model.stream("?"))
    with pytest.raises(PaymentRequiredError):
        [chunk async for chunk in model.astream("?")]
    assert market.credited == []


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_it_is_paid_and_asked_again(market: Market, way: str) -> None:
    wallet = Wallet()
    model = paying(market, wallet)
    if way == "invoke":
        text = model.invoke("?").text
    elif way == "ainvoke":
        text = (await model.ainvoke("?")).text
    elif way == "stream":
        text = "".join(chunk.text for chunk in model.stream("?"))
    else:
        text = "".join([chunk.text async for chunk in model.astream("?")])
    assert text == "Thirty days"
    assert market.credited == ["0.02"] and len(market.bodies) == 2
    assert wallet.asked[0].amount == "0.02" and wallet.asked[0].quote["payment"]


def test_the_cap_holds_over_calls_and_copies(market: Market) -> None:
    wallet = Wallet()
    model = paying(market, wallet, cap="0.05")
    for _ in range(2):
        market.refusal = REFUSED
        model.bind(stop=["x"]).invoke("?")
    market.refusal = REFUSED
    with pytest.raises(PaymentRequiredError) as raised:
        model.model_copy(update={"temperature": 0.5}).invoke("?")
    assert raised.value.quote == QUOTE
    assert market.credited == ["0.02", "0.02"] and len(wallet.asked) == 2


def test_a_refused_payment_is_raised_and_not_repeated(market: Market) -> None:
    market.accepts_payments = False
    wallet = Wallet()
    with pytest.raises(PaymentRequiredError, match="pay"):
        paying(market, wallet).invoke("?")
    assert len(wallet.asked) == 1 and len(market.bodies) == 1


def test_other_errors_are_openais(market: Market) -> None:
    market.refusal = (403, {"message": "no"})
    with pytest.raises(openai.PermissionDeniedError):
        paying(market, Wallet()).invoke("?")


@pytest.mark.parametrize(
    "options",
    [
        {"on_payment_required": "topup"},
        {"on_payment_required": "topup", "topup_cap": "1"},
        {"on_payment_required": "topup", "payer": Wallet()},
        {"topup_cap": "much"},
        {"topup_cap": "-1"},
        {"topup_cap": "NaN"},
        {"on_payment_required": "pay"},
    ],
)
def test_an_option_that_cannot_be_kept_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatKVProxy(base_url="http://127.0.0.1:1", model="m", **options)


def test_the_payer_is_never_serialised(market: Market) -> None:
    assert "payer" not in paying(market, Wallet()).model_dump()


@pytest.mark.parametrize(
    ("quote", "amount"),
    [
        ({}, "0.01"),
        ({"most": {"amount": "0.5"}}, "0.5"),
        ({"most": {"amount": "0.001"}, "payment": {"topup": {"least": "0.2"}}}, "0.2"),
        ({"most": {"amount": "NaN"}, "payment": {"topup": []}}, "0.01"),
        ({"most": "0.5", "payment": "x"}, "0.01"),
    ],
)
def test_the_amount_is_what_the_request_needs(quote: dict[str, Any], amount: str) -> None:
    assert f"{amount_of(PaymentRequiredError('x', quote=quote, headers={}))}" == amount
