"""Headers of both dialects, and ids that one signature has in each of them."""

from __future__ import annotations

import base64

import pytest

from kvproxy.errors import PaymentRequired
from kvproxy.payments.payment_demand import MethodOffer
from kvproxy.payments.payment_headers import (
    header_json,
    json_header,
    offer_headers,
    one_header,
    payment_id,
    payment_required,
)


def test_an_id_is_of_the_nonce_and_not_of_its_spelling() -> None:
    one = payment_id("eip155:1", "0xAB", "0xCD", "0xEF")
    assert one == payment_id("eip155:1", "0xab", "0xcd", "0xef") and one.startswith("pay_")
    others = [("eip155:2", "0xab", "0xcd", "0xef"), ("eip155:1", "0xab", "0xcd", "0xee")]
    assert all(payment_id(*other) != one for other in others)


def test_json_goes_through_a_header() -> None:
    value = {"x402Version": 2, "text": "ä"}
    assert json_header(header_json(value), "X") == value
    deep = base64.b64encode(b'{"a":' * 5000).decode()
    for wrong in (
        "",
        "e30",
        "*",
        base64.b64encode(b"[1]").decode(),
        base64.b64encode(b"\xff").decode(),
        deep,
    ):
        with pytest.raises(PaymentRequired, match="The header X"):
            json_header(wrong, "X")


def test_a_header_of_any_case_and_of_bounded_length() -> None:
    assert one_header({"PAYMENT-Signature": "x"}, "payment-signature") == "x"
    assert one_header({}, "payment-signature") is None
    with pytest.raises(PaymentRequired, match="longer than"):
        one_header({"payment-signature": "x" * 40_000}, "payment-signature")


def test_offers_are_put_together() -> None:
    offers = [
        MethodOffer(challenges=('Payment id="1"',)),
        MethodOffer(challenges=('Payment id="2"',), accepts=({"scheme": "exact"},), extensions={"mppx": {}}),
        MethodOffer(accepts=({"scheme": "upto"},)),
    ]
    headers = offer_headers(offers, "http://h/v1", "pay")
    assert headers["WWW-Authenticate"] == 'Payment id="1", Payment id="2"'
    assert json_header(headers["PAYMENT-REQUIRED"], "X") == {
        "x402Version": 2,
        "error": "pay",
        "resource": {"url": "http://h/v1"},
        "accepts": [{"scheme": "exact"}, {"scheme": "upto"}],
        "extensions": {"mppx": {}},
    }
    assert offer_headers([], "http://h", "pay") == {} and payment_required(offers[:1], "u", "e") is None
