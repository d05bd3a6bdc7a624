"""``ReasoningSplitter`` separates reasoning from the answer: ``<think>`` … ``</think>`` at the front of an answer."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import Reasoning
from kvproxy.wire.tool_formats.base import overlap

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """A piece of reasoning and of the answer.

    ``reasoning`` is without the line ends around it; ``answer`` starts at ``at`` in all that was pushed.
    """

    reasoning: str = ""
    answer: str = ""
    at: int = 0


class ReasoningSplitter:
    """Splits a text that arrives in pieces.

    Line ends around the block are layout and come out nowhere. A block that is never closed is all reasoning.
    """

    def __init__(self, reasoning: Reasoning) -> None:
        self._state = {"none": self._in_answer, "may": self._before, "open": self._opening}[reasoning]
        self._buffer = ""
        self._at = 0
        self._begun = False

    @property
    def thinking(self) -> bool:
        """Return whether all that was pushed is reasoning, or layout around it."""
        return self._state not in (self._in_answer, self._before)

    def push(self, text: str) -> ReasoningPiece:
        """Return the pieces that are certain by now. Withholds only a possible beginning of a mark, and layout."""
        self._buffer += text
        return self._state()

    def finish(self) -> ReasoningPiece:
        """Return the text that was withheld."""
        rest, self._buffer = self._buffer, ""
        if self._state == self._before:
            self._state = self._in_answer
            return ReasoningPiece(answer=rest)
        if self._state == self._opening:
            rest = rest.lstrip()
        return ReasoningPiece(reasoning=rest.rstrip("\n")) if self.thinking else ReasoningPiece()

    def _before(self) -> ReasoningPiece:
        """Read text where a block may begin."""
        rest = self._buffer.lstrip()
        if rest.startswith(OPEN):
            return self._opening()
        if OPEN.startswith(rest):
            return ReasoningPiece()
        self._state = self._in_answer
        return self._in_answer()

    def _opening(self) -> ReasoningPiece:
        """Read the beginning of a block; its opening mark may be repeated."""
        rest = self._buffer.lstrip()
        if OPEN.startswith(rest) and rest != OPEN:
            return ReasoningPiece()
        self._keep(rest.removeprefix(OPEN))
        self._state = self._thinking
        return self._thinking()

    def _thinking(self) -> ReasoningPiece:
        if not self._begun:
            self._keep(self._buffer.lstrip("\n"))
        found = self._buffer.find(CLOSE)
        end = found if found >= 0 else len(self._buffer) - overlap(self._buffer, CLOSE)
        reasoning = self._buffer[:end].rstrip("\n")
        self._begun = self._begun or bool(reasoning)
        if found < 0:
            self._keep(self._buffer[len(reasoning) :])
            return ReasoningPiece(reasoning)
        self._keep(self._buffer[found + len(CLOSE) :])
        self._state = self._behind
        behind = self._behind()
        return ReasoningPiece(reasoning, behind.answer, behind.at)

    def _behind(self) -> ReasoningPiece:
        self._keep(self._buffer.lstrip("\n"))
        if not self._buffer:
            return ReasoningPiece()
        self._state = self._in_answer
        return self._in_answer()

    def _in_answer(self) -> ReasoningPiece:
        at = self._at
        answer, self._buffer = self._buffer, ""
        self._at += len(answer)
        return ReasoningPiece(answer=answer, at=at)

    def _keep(self, rest: str) -> None:
        """Drop all of the buffer before ``rest``."""
        self._at += len(self._buffer) - len(rest)
        self._buffer = rest
