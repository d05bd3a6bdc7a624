"""A fake answer under limits: lengths, stops, end tokens, characters of several tokens."""

from __future__ import annotations

import pytest

from kvproxy.fake_replica.fake_generation import AnswerCuts, FakeGeneration, answer_after
from kvproxy.fake_replica.replica_text import BytesText

TEXT = BytesText()


def said(text: str, **limits: object) -> FakeGeneration:
    most = AnswerCuts(**{"max_tokens": 100, **limits})  # type: ignore[arg-type]  # the tests name fields
    return answer_after([1], most, TEXT, said=TEXT.encode(text))


def test_an_answer_ends_with_the_end_token_which_has_no_text() -> None:
    answer = said("abc")
    assert (answer.text, answer.token_ids, answer.finish_reason) == ("abc", [97, 98, 99, 256], "stop")
    assert answer.stop_reason is None


def test_a_length_ends_it_before() -> None:
    answer = said("abc", max_tokens=2)
    assert (answer.text, answer.finish_reason) == ("ab", "length")
    assert said("abc", max_tokens=3).finish_reason == "length"


def test_a_stop_text_is_cut_off_and_held_back_before() -> None:
    answer = said("one, two", stop=(", t", "zzzz"))
    assert (answer.text, answer.finish_reason, answer.stop_reason) == ("one", "stop", ", t")
    assert len(answer.steps) == len("one, t")
    assert [step.text for step in answer.steps] == ["", "", "", "o", "n", "e"]


def test_a_stop_text_may_stay() -> None:
    assert said("one, two", stop=(", t",), include_stop=True).text == "one, t"


def test_a_stop_text_does_not_count_within_the_least_tokens() -> None:
    assert said("a.b.c", stop=(".",), min_tokens=3).text == "a.b"


def test_a_stop_token_is_told() -> None:
    answer = said("abcd", stop_token_ids=(99,))
    assert (answer.text, answer.stop_reason, answer.token_ids) == ("ab", 99, [97, 98, 99])


@pytest.mark.parametrize("words", ["é", "日本語", "a👩‍👩‍👧b"])
def test_characters_come_whole(words: str) -> None:
    answer = said(words)
    assert answer.text == words
    assert not any("\ufffd" in step.text for step in answer.steps)


def test_without_an_end_an_answer_goes_on_to_its_length() -> None:
    answer = answer_after([1, 2], AnswerCuts(max_tokens=500, ignore_eos=True), TEXT)
    assert (len(answer.steps), answer.finish_reason) == (500, "length")


def test_every_token_of_a_prompt_counts() -> None:
    limits = AnswerCuts(max_tokens=10)
    texts = {answer_after(prompt, limits, TEXT).text for prompt in ([1, 2, 3], [1, 2, 4], [0, 2, 3], [1, 2])}
    assert len(texts) == 4
    assert answer_after([1, 2], limits, TEXT, choice=1).text not in texts
