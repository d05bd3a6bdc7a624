from __future__ import annotations

import pytest

from kvproxy.core import parse_nano
from kvproxy.wire.market.quote_types import money_body


@pytest.mark.parametrize("nano", [0, 1, 377_000, 10**9, -25 * 10**8, 2**60])
def test_an_amount_is_told_twice_and_exactly(nano: int) -> None:
    told = money_body(nano, "USD")
    assert told["nano"] == nano == parse_nano(told["amount"]) and told["currency"] == "USD"
