from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kvproxy.wire.market.catalog_types import QuoteBody


def test_bodies_that_ask_for_a_quote() -> None:
    assert QuoteBody.model_validate({"document": "handbook@3"}).document == "handbook@3"
    assert QuoteBody.model_validate({"sha256": "0" * 64, "max_tokens": 5}).max_tokens == 5
    assert QuoteBody.model_validate({"request": {"any": [1]}}).request == {"any": [1]}


@pytest.mark.parametrize(
    "body",
    [
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"document": ""},
        {"document": 3},
        {"max_tokens": 0},
        {"max_tokens": "5"},
        {"request": "text"},
        {"requst": {}},
    ],
)
def test_wrong_bodies(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuoteBody.model_validate(body)
