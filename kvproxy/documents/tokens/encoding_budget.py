"""The bounds of composing one prompt: characters that may be encoded on the event loop, and tokens that fit at all."""

from __future__ import annotations

from kvproxy.errors import ContextTooLong

ON_LOOP = 1 << 13
"""Characters that one prompt may have encoded on the event loop: about 2,000 tokens, 10 ms at worst."""

TIMES_TOO_LONG = 2
"""How many times its limit a prompt may be long before composing it ends; up to there its exact length is told."""


class Pending(Exception):
    """More is to be encoded than the event loop has time for. On a thread, composing begins anew."""

    def __init__(self) -> None:
        super().__init__("this prompt is to be composed on a thread")


class EncodingBudget:
    """Counts what one prompt costs as it is composed. One composition's own; without bounds it never refuses."""

    def __init__(self, *, characters: int | None = None, limit: int | None = None) -> None:
        """``characters``: how many may be encoded; None: all. ``limit``: how many tokens fit; None: any number."""
        self._characters = characters
        self._limit = limit
        self._expected = 0

    def encode(self, characters: int) -> None:
        """Count text that is about to be encoded. Raises Pending when it is too much."""
        if self._characters is not None:
            self._characters -= characters
            if self._characters < 0:
                raise Pending

    def expect(self, tokens: int) -> None:
        """Count tokens that the prompt will have at least, before anything is encoded. Raises ContextTooLong when
        they cannot fit."""
        self._expected += tokens
        if self._limit is not None and self._expected > self._limit:
            raise _too_long(self._limit, self._expected)

    def check(self, tokens: int) -> None:
        """Raises ContextTooLong when a prompt of which so many tokens are there is far too long."""
        if self._limit is not None and tokens > self._limit * TIMES_TOO_LONG:
            raise _too_long(self._limit, tokens)


def _too_long(limit: int, tokens: int) -> ContextTooLong:
    return ContextTooLong(limit=limit, prompt_tokens=tokens, completion_tokens=1, at_least=True)
