"""Numbers of any length: a value, or a refusal, and never more digits than Python converts."""

from __future__ import annotations

import pytest

from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.json_text import decode_object
from kvproxy.wire.bodies.whole_number import MOST_DIGITS, whole_number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "1_0", "\uff11", "101", "0100", "000000001" + "9" * 5000, "9" * 5000]
)
def test_a_text_that_is_no_number_of_the_range(text: str) -> None:
    assert whole_number(text, 100) is None


def test_numbers_of_the_range() -> None:
    assert [whole_number(x, 100) for x in ("0", "7", "007", "100")] == [0, 7, 7, 100]
    assert whole_number("0", -1) is None


@pytest.mark.parametrize("digits", [MOST_DIGITS + 1, 4300, 4301, 100_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_body_holds_no_integer_of_more_digits_than_a_double_has(digits: int, sign: str) -> None:
    with pytest.raises(InvalidRequest, match="digits") as raised:
        decode_object(b'{"max_tokens": ' + (sign + "9" * digits).encode() + b"}")
    assert len(raised.value.message) < 100


def test_large_integers_of_a_schema_are_read() -> None:
    assert decode_object(b'{"maximum": 18446744073709551615}') == {"maximum": 18446744073709551615}
