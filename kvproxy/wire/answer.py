"""From the model's raw text to what it means: reasoning, the answer's own text, tool calls. Incremental."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import (
    Event,
    Finished,
    FinishReason,
    Reasoning,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice, whole."""

    text: str
    reasoning: str
    calls: tuple[ToolCall, ...]
    logprobs: tuple[TokenLogprob, ...]
    """Of the tokens of ``text``."""
    reason: FinishReason


class AnswerBuilder:
    """Puts the parsed events of one choice together."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, ToolCall] = {}
        self._logprobs: list[TokenLogprob] = []

    def add(self, event: Event) -> None:
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

    def answer(self, reason: FinishReason) -> Answer:
        calls = tuple(self._calls[i] for i in sorted(self._calls))
        return Answer("".join(self._text), "".join(self._reasoning), calls, tuple(self._logprobs), reason)


class AnswerParser:
    """One choice of one answer. Feed it each TextDelta, then the Finished."""

    def __init__(self, *, reasoning: Reasoning, tool_format: str | None) -> None:
        """``tool_format``: key of the tool format registry, or None when the request has no tools to call."""

    def push(self, delta: TextDelta) -> list[Event]:
        """What can be told by now: TextDelta, ReasoningDelta, ToolCallDelta, in order. May be empty, when the
        text could still become a mark."""
        return [delta]

    def finish(self, finished: Finished) -> list[Event]:
        """What was withheld, then Finished: its reason is ``tool_calls`` when there were calls and the model
        stopped by itself, and its usage counts the reasoning tokens."""
        return [finished]
