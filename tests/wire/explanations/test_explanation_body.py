"""The dialect of a request is told from its fields."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import DocumentRef
from kvproxy.errors import InvalidRequest
from kvproxy.wire.explanations.explanation_body import take_question

ASKED = [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    ("fields", "endpoint"),
    [
        ({"messages": ASKED}, "chat/completions"),
        ({"messages": ASKED, "system": "s"}, "messages"),
        ({"messages": ASKED, "tools": [{"name": "f", "input_schema": {}}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages"),
        ({"messages": ASKED, "system": "s", "endpoint": "chat/completions"}, "chat/completions"),
        ({"input": "q"}, "responses"),
    ],
)
def test_the_endpoint(fields: dict[str, Any], endpoint: str) -> None:
    assert take_question(dict(fields)).endpoint == endpoint


def test_its_own_fields_are_taken_out() -> None:
    body = {"messages": ASKED, "against": "handbook@3", "endpoint": "chat/completions", "temperature": 0}
    assert take_question(body).against == DocumentRef("handbook", 3)
    assert body == {"messages": ASKED, "temperature": 0}
    with pytest.raises(InvalidRequest, match="either"):
        take_question({"messages": ASKED, "against": "h", "previous": True})
    with pytest.raises(InvalidRequest, match="as it would be sent"):
        take_question({"model": "m"})
