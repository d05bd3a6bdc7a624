from __future__ import annotations

import pytest

from kvproxy.wire.history.arguments import arguments_text


@pytest.mark.parametrize(
    ("value", "text"),
    [('{"a":1}', '{"a":1}'), ("", ""), ("{oops", "{oops"), (None, ""), ({"a": "é"}, '{"a": "é"}'), ([1], "[1]")],
)
def test_arguments_are_text(value: object, text: str) -> None:
    assert arguments_text(value) == text
