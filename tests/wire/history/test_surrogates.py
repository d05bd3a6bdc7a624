from __future__ import annotations

import pytest

from kvproxy.core import DocumentPart, DocumentRef, Message, TextPart, ToolCall
from kvproxy.wire.history.surrogates import mend_surrogates, whole_text


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("plain", "plain"),
        ("héllo 😀", "héllo 😀"),
        ("cut \ud83d", "cut \ufffd"),
        ("\ude00 cut", "\ufffd cut"),
        ("\ufeff\ud83dx", "\ufeff\ufffdx"),
    ],
)
def test_halves_become_replacement_characters(text: str, whole: str) -> None:
    assert whole_text(text) == whole


def test_every_text_of_history_and_not_the_question() -> None:
    call = ToolCall("a", "f\ud800", '{"x": "\ud800"}')
    document = DocumentPart(DocumentRef("d"))
    answer = Message("assistant", (TextPart("\ud800"), document), (call,), reasoning="\ud800")
    question = Message("user", (TextPart("\ud800"),))
    assert mend_surrogates([answer, question], ["messages[0]", "messages[1]"], "messages[1]") == [
        Message(
            "assistant",
            (TextPart("\ufffd"), document),
            (ToolCall("a", "f\ufffd", '{"x": "\ufffd"}'),),
            reasoning="\ufffd",
        ),
        question,
    ]
