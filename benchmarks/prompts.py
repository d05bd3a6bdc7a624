"""The prompts: one user message of a document and a question behind it, cut to a number of prompt tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Count = Callable[[str], int]
"""Tokens of a text."""

TOPICS = {
    "Explain": "copying",
    "Describe": "payment",
    "Discuss": "patents",
    "Review": "warranty",
    "Tell": "users",
    "Write": "trademarks",
    "Give": "sources",
    "Show": "modules",
    "Compare": "freedom",
    "Consider": "damages",
    "Present": "notices",
    "Report": "changes",
}
"""Task -> subjects. Questions differ from their first word on, so that a reader's whole question is new."""
TINY = "Write a long story about a lighthouse and the people who live in it."


def question(number: int) -> str:
    """27 tokens for SmolLM2, whatever the number; each asks for an answer that goes on."""
    do, topic = list(TOPICS.items())[number % len(TOPICS)]
    return (
        f"{do} at length, in full sentences and in your own words, what the text above says about {topic}, "
        "and why it says so."
    )


class Cold(StrEnum):
    """The ways to make a server compute a prompt that it may have kept.

    All but ``SALT_LINE`` leave its tokens as they are.
    """

    SALT_LINE = "salt-line"
    """A line that was never there before, in front of the document: works with every server."""
    CACHE_SALT = "cache_salt"
    """vLLM and kvproxy: pages are shared between requests with the same salt."""
    NO_CACHE = "cache_prompt"
    """llama.cpp: ``false`` computes the whole prompt, and keeps it for the next request."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One reading of a document.

    Visits with the same ``salt`` may share cached pages; ``first`` is the one that finds none.
    """

    salt: int
    first: bool

    def text(self, cold: Cold, document: str, asked: str) -> str:
        """The user message."""
        # Digits, always as many: the prompt's length must not depend on the salt.
        line = f"Copy {self.salt:08d}.\n\n" if cold is Cold.SALT_LINE else ""
        return f"{line}{document}\n\n{asked}"

    def fields(self, cold: Cold) -> dict[str, Any]:
        """Fields of the request's body besides OpenAI's plainest."""
        if cold is Cold.SALT_LINE:
            return {}
        if cold is Cold.NO_CACHE:
            return {cold.value: not self.first}
        return {cold.value: f"bench-{self.salt:08d}"}


def cut(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """The longest beginning of ``text`` for which ``count(beginning)`` is at most ``tokens``.

    Raises ValueError when the text is too short, or not even its first character fits.
    """
    if count(text) < tokens:
        raise ValueError(f"the text comes to {count(text):,} prompt tokens, fewer than {tokens:,}")
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    if low == 0:
        raise ValueError(f"{tokens:,} prompt tokens leave no room for a document")
    return text[:low]


def body(model: str, text: str, max_tokens: int, extra: Mapping[str, Any]) -> dict[str, Any]:
    """A streamed, greedy chat request."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **extra,
    }
