"""``open_question``: the user message to answer, which the model must be able to read. All else is history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Turn = Literal["user", "assistant", "tool", "system"]


def open_question(turns: Sequence[Turn]) -> int | None:
    """Return the index of the last user message without an answer and without tool results in its turn.

    A user message behind tool results is part of them: many programs put there the image that a tool has read, since a
    tool message of OpenAI's holds text only. To refuse it would end the conversation for good.
    """
    last: int | None = None
    results = False
    for index, turn in enumerate(turns):
        match turn:
            case "assistant":
                last, results = None, False
            case "tool":
                last, results = None, True
            case "user":
                last = None if results else index
            case "system":
                pass
    return last
