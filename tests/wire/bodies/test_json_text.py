from __future__ import annotations

import json

import pytest

from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.json_text import decode_object, encode


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "could not parse"),
        (b'{"a": ', "line 1 column"),
        (b"[1]", "must be a JSON object, not an array"),
        (b"null", "not null"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": {"b": -1e999}}', "number -1e999 is too large"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' occurs twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "has 5000 digits"),
        (b'{"a": ' + b"[" * 200_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_not_one_unambiguous_object_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        decode_object(raw)


def test_text_survives() -> None:
    value = {"a": "é 漢 \U0001f600 \u2028 \n"}
    assert decode_object(encode(value)) == value


def test_a_lone_surrogate_goes_back_as_it_came() -> None:
    value = decode_object(rb'{"a": "\ud800"}')
    assert json.loads(encode(value)) == value


def test_no_line_ends_so_one_sse_line_holds_it() -> None:
    assert b"\n" not in encode({"a": "x\n\r\ny"}) and b"\r" not in encode("\r")
