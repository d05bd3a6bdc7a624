from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.client import counter
from benchmarks.prompts import TOPICS, Cold, Visit, body, cut, question


def words(text: str) -> int:
    return len(text.split())


def test_questions_are_as_long_as_each_other_and_differ_from_the_start(smollm2: Path) -> None:
    count = counter(smollm2)
    asked = [question(n) for n in range(len(TOPICS))]
    assert {count(q) for q in asked} == {27}
    assert len({q.split()[0] for q in asked}) == len(TOPICS)
    assert question(len(TOPICS)) == question(0)


def test_the_longest_beginning_that_fits() -> None:
    text = "one two three four"
    assert cut(text, 2, words) == "one two "
    assert cut(text, 3, lambda t: words(t) + 1) == "one two "
    assert cut(text, 4, words) == text
    with pytest.raises(ValueError, match="comes to 4 prompt tokens, fewer than 5"):
        cut(text, 5, words)
    with pytest.raises(ValueError, match="2 prompt tokens leave no room"):
        cut(text, 2, lambda t: words(t) + 2)


def test_a_salt_is_a_line_or_a_field() -> None:
    first, second = Visit(12345678, first=True), Visit(12345678, first=False)
    assert first.text(Cold.SALT_LINE, "doc", "why?") == "Copy 12345678.\n\ndoc\n\nwhy?"
    assert first.fields(Cold.SALT_LINE) == {}
    assert first.text(Cold.CACHE_SALT, "doc", "why?") == "doc\n\nwhy?"
    assert first.fields(Cold.CACHE_SALT) == second.fields(Cold.CACHE_SALT) == {"cache_salt": "bench-12345678"}
    assert first.fields(Cold.NO_CACHE) == {"cache_prompt": False}
    assert second.fields(Cold.NO_CACHE) == {"cache_prompt": True}


def test_a_salt_never_changes_the_length(smollm2: Path) -> None:
    count = counter(smollm2)
    texts = [Visit(s, first=True).text(Cold.SALT_LINE, "doc", "why?") for s in (10**7, 12345678, 99999999)]
    assert len({count(t) for t in texts}) == 1


def test_a_request_is_greedy_and_streamed() -> None:
    asked = body("m", "text", 5, {"cache_salt": "a"})
    assert asked["messages"] == [{"role": "user", "content": "text"}]
    assert (asked["temperature"], asked["stream"], asked["max_tokens"], asked["cache_salt"]) == (
        0,
        True,
        5,
        "a",
    )
    assert asked["stream_options"] == {"include_usage": True}
