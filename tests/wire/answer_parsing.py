"""Feeds texts to an answer parser in pieces of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

from kvproxy.core import Reasoning, Tool
from kvproxy.events import Event, Finished, FinishReason, TextDelta, Usage
from kvproxy.wire.answers.answer_reader import AnswerBuilder, AnswerParser


@dataclass(frozen=True)
class ParsedAnswer:
    text: str
    reasoning: str
    calls: list[tuple[str, str]]
    reason: FinishReason
    reasoning_tokens: int


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    """``text`` cut at the given places, in any order and as often as wanted."""
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


def events_of(
    texts: Sequence[str],
    *,
    reasoning: Reasoning = "none",
    tool_format: str | None = "hermes",
    tools: Sequence[Tool] = (),
    reason: FinishReason = "stop",
) -> list[Event]:
    parser = AnswerParser(reasoning=reasoning, tool_format=tool_format, tools=tools)
    events = [event for text in texts for event in parser.push(TextDelta(text))]
    return events + parser.finish(Finished(reason, Usage(10, len(texts), 4)))


def parsed_answer(
    texts: Sequence[str],
    *,
    reasoning: Reasoning = "none",
    tool_format: str | None = "hermes",
    tools: Sequence[Tool] = (),
    reason: FinishReason = "stop",
) -> ParsedAnswer:
    events = events_of(texts, reasoning=reasoning, tool_format=tool_format, tools=tools, reason=reason)
    built = AnswerBuilder()
    for event in events[:-1]:
        built.add(event)
    last = events[-1]
    assert isinstance(last, Finished)
    answer = built.answer(last.reason)
    assert all(call.id.startswith("call_") and len(call.id) == 29 for call in answer.calls)
    calls = [(call.name, call.arguments) for call in answer.calls]
    return ParsedAnswer(answer.text, answer.reasoning, calls, answer.reason, last.usage.reasoning_tokens)


cuts = st.lists(st.integers(0, 400), max_size=12)


def texts_of(*fragments: str) -> st.SearchStrategy[str]:
    """Texts put together from fragments of a format, whole and broken, and from anything else."""
    broken = st.sampled_from(fragments).flatmap(lambda f: st.integers(0, len(f)).map(lambda n: f[:n]))
    anything = st.text(alphabet=' \n{}[]":,\\<>/aé\U0001f600_=', max_size=6)
    return st.lists(st.one_of(st.sampled_from(fragments), broken, anything), max_size=12).map("".join)
