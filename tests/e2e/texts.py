"""Real text for documents, and the conversations that they stand in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

_GPL = Path(__file__).parents[2] / "examples" / "documents" / "gpl-3.txt"


@cache
def _gpl() -> str:
    return _GPL.read_text(encoding="utf-8")


def document(title: str, characters: int, skip: int = 0) -> str:
    """A text of about ``characters / 4.7`` tokens that shares no first word with one of another title."""
    return f"{title.upper()}\n\n{_gpl()[skip : skip + characters]}"


def in_system(text: str, question: str) -> list[dict[str, Any]]:
    """The document at the head of the system message, instructions behind it."""
    return [
        {"role": "system", "content": f"{text}\n\nAnswer from the text above."},
        {"role": "user", "content": question},
    ]


def in_user(text: str, question: str, system: str | None = None) -> list[dict[str, Any]]:
    """The document at the head of the first user message, the question behind it."""
    user = {"role": "user", "content": f"{text}\n\n{question}"}
    return [user] if system is None else [{"role": "system", "content": system}, user]
