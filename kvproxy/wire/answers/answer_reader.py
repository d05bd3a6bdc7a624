"""Incremental parser of the model's raw text into reasoning, the answer's own text and tool calls."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from kvproxy.core import Reasoning, Tool, ToolCall
from kvproxy.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from kvproxy.wire.answers.think_blocks import ReasoningPiece, ReasoningSplitter
from kvproxy.wire.tool_formats.base import ParsedPiece, Prose
from kvproxy.wire.tool_formats.known_formats import FORMATS


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice, whole."""

    text: str
    reasoning: str
    calls: tuple[ToolCall, ...]
    logprobs: tuple[TokenLogprob, ...]
    """Log probabilities of the tokens of ``text``."""
    reason: FinishReason
    stopped_by: str | None = None
    """The stop string that ended the answer, where it is known to be one."""


class AnswerBuilder:
    """Puts the parsed events of one choice together."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, ToolCall] = {}
        self._logprobs: list[TokenLogprob] = []

    def add(self, event: Event) -> None:
        """Add an event to the answer. Pieces of a tool call are joined by the index of the call."""
        match event:
            case TextDelta():
                self._text.append(event.text)
                self._logprobs += event.logprobs
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case ToolCallDelta():
                call = self._calls.get(event.index) or ToolCall("", "", "")
                self._calls[event.index] = ToolCall(
                    event.id or call.id, event.name or call.name, call.arguments + event.arguments
                )

    def answer(self, reason: FinishReason, stopped_by: str | None = None) -> Answer:
        """Return the answer of the events so far, its calls in the order of their indexes."""
        calls = tuple(self._calls[i] for i in sorted(self._calls))
        text, thoughts = "".join(self._text), "".join(self._reasoning)
        return Answer(text, thoughts, calls, tuple(self._logprobs), reason, stopped_by)


class AnswerParser:
    """Parses one choice of one answer: feed it each TextDelta, then the Finished.

    The result does not depend on how the text is split. Tokens and their logprobs go with the first character of their
    own text; those of marks, layout and calls are not given out.
    """

    def __init__(self, *, reasoning: Reasoning, tool_format: str | None, tools: Sequence[Tool] = ()) -> None:
        """Create a parser.

        ``tool_format``: a key of the tool format registry, or None when the request has no tools to call.
        """
        self._splitter = ReasoningSplitter(reasoning)
        self._calls = FORMATS[tool_format].parser(tools) if tool_format is not None else None
        self._plain = reasoning == "none" and self._calls is None
        self._tokens = _Tokens()
        self._answer_at: int | None = None
        """The place where the answer's own text begins, in characters."""
        self._reasoning_tokens = 0
        self._called = False

    def push(self, delta: TextDelta) -> list[Event]:
        """Return the TextDelta, ReasoningDelta and ToolCallDelta events that are certain by now, in order.

        May be empty, when the text could still become a mark.
        """
        if self._plain:
            return [delta]
        self._tokens.add(delta)
        events = self._split(self._splitter.push(delta.text))
        if self._splitter.thinking:
            self._reasoning_tokens += self._tokens.before(None)
        return events

    def finish(self, finished: Finished) -> list[Event]:
        """Return the events that were withheld, then Finished.

        Its reason is ``tool_calls`` when there were calls and the model stopped by itself, and its usage counts the
        reasoning tokens.
        """
        if self._plain:
            return [finished]
        events = self._split(self._splitter.finish())
        if self._calls is not None:
            events += self._events_of(self._calls.finish())
        reason: FinishReason = "tool_calls" if self._called and finished.reason == "stop" else finished.reason
        usage = replace(finished.usage, reasoning_tokens=self._reasoning_tokens)
        events.append(replace(finished, reason=reason, usage=usage))
        return events

    def _split(self, piece: ReasoningPiece) -> list[Event]:
        events: list[Event] = [ReasoningDelta(piece.reasoning)] if piece.reasoning else []
        if not piece.answer:
            return events
        if self._answer_at is None:
            self._answer_at = piece.at
            self._reasoning_tokens += self._tokens.before(piece.at)
        prose: list[ParsedPiece] = [Prose(piece.answer, piece.at - self._answer_at)]
        return events + self._events_of(prose if self._calls is None else self._calls.push(piece.answer))

    def _events_of(self, pieces: list[ParsedPiece]) -> list[Event]:
        events: list[Event] = []
        for piece in pieces:
            if isinstance(piece, ToolCallDelta):
                self._called = True
                events.append(piece)
            else:
                at = (self._answer_at or 0) + piece.at
                self._tokens.before(at)
                events.append(self._tokens.take(piece.text, at))
        return events


class _Tokens:
    """Assigns tokens and their logprobs to pieces of the raw text."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int, tuple[TokenLogprob, ...]]] = deque()
        """(first character, number of tokens, their logprobs), in order."""
        self._end = 0

    def add(self, delta: TextDelta) -> None:
        spelled = [len(x.chosen.text) for x in delta.logprobs]
        if len(spelled) == delta.tokens and sum(spelled) == len(delta.text.encode("utf-8", "surrogatepass")):
            starts = _starts(delta.text, spelled)
            for start, logprob in zip(starts, delta.logprobs, strict=True):
                self._waiting.append((self._end + start, 1, (logprob,)))
        else:
            self._waiting.append((self._end, delta.tokens, delta.logprobs))
        self._end += len(delta.text)

    def before(self, at: int | None) -> int:
        """Drop the tokens that begin before a character, or all; return their number."""
        count = 0
        while self._waiting and (at is None or self._waiting[0][0] < at):
            count += self._waiting.popleft()[1]
        return count

    def take(self, text: str, at: int) -> TextDelta:
        count = 0
        logprobs: list[TokenLogprob] = []
        while self._waiting and self._waiting[0][0] < at + len(text):
            _, tokens, own = self._waiting.popleft()
            count += tokens
            logprobs += own
        return TextDelta(text, count, tuple(logprobs))


def _starts(text: str, spelled: Sequence[int]) -> list[int]:
    """Return the character in which each token's first byte lies. ``spelled``: their lengths in UTF-8 bytes."""
    ends = list(accumulate(len(char.encode("utf-8", "surrogatepass")) for char in text))
    return [bisect_right(ends, begin) for begin in accumulate(spelled[:-1], initial=0)]
