"""`Finding`: one result of `explain_prompt`, and the form of its texts. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause of a lost prefix, or a remark about the prefix."""

    level: Level
    """`error`: the request will fail; `warning`: tokens are computed again in vain; `note`: neither."""
    code: str
    """One word for programs, like `timestamp` or `not-at-head`."""
    message: int | None
    """Index of the message that it concerns; None for the tools, or the whole prompt."""
    what: str
    """The observation, in words for a person."""
    do: str
    """The remedy, as an imperative; may be empty."""

    def __str__(self) -> str:
        where = "" if self.message is None else f"message {self.message}: "
        return f"{self.level:7}  {where}{self.what}" + (f"\n           -> {self.do}" if self.do else "")


def count(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural where it is not 1."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def quoted(text: str) -> str:
    """Quote a text as JSON, of at most 40 characters."""
    return json.dumps(text if len(text) <= 40 else text[:37] + "...", ensure_ascii=False)
