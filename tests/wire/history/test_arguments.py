from __future__ import annotations

import pytest

from kvproxy.wire.history.arguments import arguments_text, tool_result_content


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('{"a":1}', '{"a":1}'),
        ("", ""),
        ("{oops", "{oops"),
        (None, ""),
        ({"a": "é"}, '{"a": "é"}'),
        ([1], "[1]"),
    ],
)
def test_arguments_are_text(value: object, text: str) -> None:
    assert arguments_text(value) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (None, None),
        ([], []),
        ({"type": "text", "text": "x"}, [{"type": "text", "text": "x"}]),
        ([{"type": "text", "text": "x"}, "y"], [{"type": "text", "text": "x"}, "y"]),
        ([{"type": "thing"}], [{"type": "thing"}]),
        ({"city": "Rome"}, '{"city": "Rome"}'),
        ({"type": "Feature", "id": 1}, '{"type": "Feature", "id": 1}'),
        ([{"city": "Rome"}], '[{"city": "Rome"}]'),
        ([1, 2], "[1, 2]"),
        (7, "7"),
        (False, "false"),
    ],
)
def test_a_tools_result_is_read_as_text_or_parts(value: object, expected: object) -> None:
    assert tool_result_content(value, {"text"}) == expected
