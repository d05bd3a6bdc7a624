from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core import Reasoning
from kvproxy.events import Event, Finished, Likelihood, ReasoningDelta, TextDelta, TokenLogprob, Usage
from kvproxy.wire.answers.answer_reader import AnswerParser
from tests.wire.answer_parsing import cuts, events_of, parsed_answer, pieces, texts_of

CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize(
    ("reasoning", "text", "thought", "said"),
    [
        ("none", "<think>x</think>y", "", "<think>x</think>y"),
        ("may", "<think>\nhm\n\nso\n</think>\n\nHi\n", "hm\n\nso", "Hi\n"),
        ("may", " \n<think>x</think>y", "x", "y"),
        ("may", "Hi <think>x</think>", "", "Hi <think>x</think>"),
        ("may", "  <thin", "", "  <thin"),
        ("may", "<think>\n\n</think>\n\nHi", "", "Hi"),
        ("open", "hm\n</think>\n\nHi", "hm", "Hi"),
        ("open", "<think>\nhm\n</think>Hi", "hm", "Hi"),
        ("open", "a </think b</think>c</think>", "a </think b", "c</think>"),
        ("open", "never closed\n", "never closed", ""),
        ("open", "cut </thi", "cut </thi", ""),
        ("open", "a</think>\n\n", "a", ""),
    ],
)
def test_reasoning(reasoning: Reasoning, text: str, thought: str, said: str) -> None:
    for texts in ([text], list(text)):
        got = parsed_answer(texts, reasoning=reasoning)
        assert (got.reasoning, got.text) == (thought, said)


@pytest.mark.parametrize("reasoning", ["none", "may", "open"])
@pytest.mark.parametrize("tool_format", [None, "hermes"])
@given(text=texts_of("<think>", "</think>", "\n", "\n\n", "hm", CALL, "Hi"), cuts=cuts)
@settings(deadline=None, max_examples=50)
def test_any_split_gives_the_same_answer(
    reasoning: Reasoning, tool_format: str | None, text: str, cuts: list[int]
) -> None:
    def result(texts: list[str]) -> tuple[str, str, list[tuple[str, str]]]:
        got = parsed_answer(texts, reasoning=reasoning, tool_format=tool_format)
        return got.text, got.reasoning, got.calls

    whole = result([text] if text else [])
    assert result(pieces(text, cuts)) == whole
    assert result(list(text)) == whole


def test_thoughts_then_text_then_calls_come_in_order() -> None:
    *events, last = events_of(["hm", "\n</think>", "\n\n", "Look: ", CALL], reasoning="open")
    assert [type(e).__name__ for e in events] == [
        "ReasoningDelta",
        "TextDelta",
        "ToolCallDelta",
        "ToolCallDelta",
    ]
    assert events[0] == ReasoningDelta("hm")
    assert last == Finished("tool_calls", Usage(10, 5, 4, reasoning_tokens=3))


def test_reasons() -> None:
    assert parsed_answer([CALL]).reason == "tool_calls"
    assert parsed_answer([CALL], reason="length").reason == "length"
    assert parsed_answer([CALL], tool_format=None).reason == "stop"
    assert parsed_answer(["hi"]).reason == "stop"


def test_plain_answers_pass_as_they_are() -> None:
    delta = TextDelta("<tool_call>", 3)
    parser = AnswerParser(reasoning="none", tool_format=None)
    assert parser.push(delta) == [delta]
    finished = Finished("length", Usage(1, 3, 0))
    assert parser.finish(finished) == [finished]


@pytest.mark.parametrize(
    ("reasoning", "texts", "count"),
    [
        ("may", ["<think>", "a", "b", "</think>", "\n\n", "Hi", "."], 5),
        ("may", ["Hi", "."], 0),
        ("open", ["a", "b"], 2),
        ("open", ["a", "b</think>c", "d"], 2),
    ],
)
def test_reasoning_tokens_are_counted(reasoning: Reasoning, texts: list[str], count: int) -> None:
    assert parsed_answer(texts, reasoning=reasoning).reasoning_tokens == count


def token(text: bytes) -> TokenLogprob:
    return TokenLogprob(Likelihood(0, text, -0.5))


def said(events: list[Event]) -> list[tuple[str, int, list[bytes]]]:
    return [
        (e.text, e.tokens, [x.chosen.text for x in e.logprobs]) for e in events if isinstance(e, TextDelta)
    ]


def test_logprobs_stay_with_their_own_text() -> None:
    parser = AnswerParser(reasoning="open", tool_format="hermes")
    spelled = [b"hm", b"</think>", b"\n\n", b"a <", b"b", b"\xc3", b"\xa9!", b"\n", b"<tool_call>", b"x"]
    text = b"".join(spelled).decode()
    whole = TextDelta(text, len(spelled), tuple(map(token, spelled)))
    events = parser.push(whole) + parser.finish(Finished("stop", Usage(1, len(spelled), 0)))
    assert b"".join(x for _, _, tokens in said(events) for x in tokens) == b"a <b\xc3\xa9!\n<tool_call>x"
    assert sum(count for _, count, _ in said(events)) == 7
    assert events[-1] == Finished("stop", Usage(1, len(spelled), 0, reasoning_tokens=3))


@given(
    words=st.lists(st.sampled_from(["a", " <", "tool_call>", "é", "\n", CALL, "</think>"]), min_size=1),
    together=st.integers(1, 4),
)
@settings(deadline=None, max_examples=50)
def test_each_token_of_the_text_comes_out_once_for_any_split_of_deltas(
    words: list[str], together: int
) -> None:
    def told(size: int) -> tuple[list[bytes], int]:
        parser = AnswerParser(reasoning="none", tool_format="hermes")
        events: list[Event] = []
        for i in range(0, len(words), size):
            group = words[i : i + size]
            logprobs = tuple(token(word.encode()) for word in group)
            events += parser.push(TextDelta("".join(group), len(group), logprobs))
        events += parser.finish(Finished("stop", Usage(1, len(words), 0)))
        return [x for _, _, tokens in said(events) for x in tokens], sum(n for _, n, _ in said(events))

    tokens, count = told(1)
    assert told(together) == (tokens, count) and count == len(tokens)
