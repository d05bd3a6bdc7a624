from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef
from kvproxy.dashboard.views.playground_view import (
    DEFAULT_QUESTION,
    MOST_ANSWER,
    AskedQuestion,
    PlaygroundDocument,
    SideAnswer,
    asked_question,
    compare_answers,
    question_for,
)
from kvproxy.example_documents import EXAMPLES

OFFERED = (PlaygroundDocument("zebra@1", 900, "?"), PlaygroundDocument("apache-2.0@2", 2255, "??"))


def side(*tokens: str, ttft_s: float | None = 1.0) -> SideAnswer:
    return SideAnswer(text="".join(tokens), tokens=tokens, ttft_s=ttft_s)


@pytest.mark.parametrize(
    ("cold", "warm", "equal", "same", "of"),
    [
        (side("48", "49"), side("48", "49"), True, 2, 2),
        (side("48", "49", "50"), side("48", "4a", "50"), False, 1, 3),
        (side("48"), side("48", "49"), False, 1, 2),
        (side(), side(), True, 0, 0),
    ],
)
def test_answers_are_compared_token_by_token(
    cold: SideAnswer, warm: SideAnswer, equal: bool, same: int, of: int
) -> None:
    found = compare_answers(cold, warm)
    assert (found.equal, found.same, found.of) == (equal, same, of)


def test_the_ratio_is_that_of_the_measured_times_or_none() -> None:
    assert compare_answers(side("48", ttft_s=3.0), side("48", ttft_s=0.5)).ratio == 6.0
    assert compare_answers(side("48", ttft_s=0.5), side("48", ttft_s=1.0)).ratio == 0.5, (
        "a slower hit is told as one"
    )
    for cold, warm in ((None, 1.0), (1.0, None), (1.0, 0.0)):
        assert compare_answers(side("48", ttft_s=cold), side("48", ttft_s=warm)).ratio is None


def test_equal_tokens_with_other_reasoning_are_not_equal_answers() -> None:
    assert not compare_answers(SideAnswer("a", ("48",)), SideAnswer("b", ("48",))).equal


def test_both_sides_ask_the_same_but_for_the_kept_pages() -> None:
    asked = AskedQuestion("handbook@3", "Who signs?", 7)
    cold, warm = asked.body("cold", "m"), asked.body("warm", "m")
    assert cold == {**warm, "kv_reuse": "none"}
    assert (warm["temperature"], warm["max_completion_tokens"]) == (0, 7), (
        "greedy, so that they can be compared"
    )


def test_what_a_form_leaves_out_is_the_default() -> None:
    asked = asked_question({}, OFFERED, "apache-2.0")
    assert asked == AskedQuestion("apache-2.0@2", EXAMPLES[0].questions[0], 48)
    assert asked_question({"document": "zebra@1"}, OFFERED, "apache-2.0").question == DEFAULT_QUESTION
    assert asked_question({"tokens": "99999"}, OFFERED, "x").answer_tokens == MOST_ANSWER
    for odd in ("0", "-3", "x", "٣", "1e9", ""):
        assert 1 <= asked_question({"tokens": odd}, OFFERED, "x").answer_tokens <= MOST_ANSWER
    assert asked_question({}, (), "apache-2.0").document == ""


def test_each_example_has_its_own_question() -> None:
    for example in EXAMPLES:
        assert question_for(DocumentRef(example.id, 1)) == example.questions[0]
