from __future__ import annotations

from typing import Any

import pytest

from kvproxy.wire.chat.prediction import PredictionBody, parse_prediction


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a b", "a b"),
        ("", ""),
        ([], ""),
        ([{"type": "text", "text": "a "}, {"type": "text", "text": "b", "unknown": 1}], "a b"),
    ],
)
def test_a_text_or_its_pieces(content: Any, text: str) -> None:
    assert parse_prediction(PredictionBody.model_validate({"type": "content", "content": content})) == text


def test_none_is_not_an_empty_one() -> None:
    assert parse_prediction(None) is None
