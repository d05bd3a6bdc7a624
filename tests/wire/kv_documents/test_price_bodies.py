from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kvproxy.wire.kv_documents.price_bodies import MOST_LICENCE, PriceBody, TermsChangeBody


def test_a_price_without_more_lets_text_senders_have_the_discount() -> None:
    body = PriceBody.model_validate({"kind": "share", "share": "25%"})
    assert (body.share, body.per_1000, body.text_readers) == ("25%", None, "discount")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "dear"},
        {"kind": "fixed", "per_1000": 0.02},  # a binary fraction
        {"kind": "share", "share": "25%", "shar": "1"},
        {"kind": "free", "text_readers": "nobody"},
        {"kind": "share", "share": "9" * 41},
    ],
)
def test_a_wrong_price_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PriceBody.model_validate(body)


def test_a_licence_is_a_few_words() -> None:
    price = {"kind": "free"}
    assert TermsChangeBody.model_validate({"price": price, "licence": "CC BY 4.0"}).licence == "CC BY 4.0"
    with pytest.raises(ValidationError):
        TermsChangeBody.model_validate({"price": price, "licence": "x" * (MOST_LICENCE + 1)})
