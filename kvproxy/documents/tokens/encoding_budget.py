"""`EncodingBudget`: bounds the composing of one prompt by encoded characters on the event loop and by tokens that
fit."""

from __future__ import annotations

from kvproxy.errors import ContextTooLong

ON_LOOP = 1 << 13
"""Characters that one prompt may have encoded on the event loop: about 2,000 tokens, 10 ms at worst."""

TIMES_TOO_LONG = 2
"""A prompt of more than this many times its limit is refused before its exact length is known."""


class NeedsThread(Exception):
    """Raised when a prompt needs more encoding than the event loop has time for. Composing then starts again on a
    thread."""

    def __init__(self) -> None:
        super().__init__("this prompt is to be composed on a thread")


class EncodingBudget:
    """Counts the cost of one prompt as it is composed. One composition's own; without bounds it never refuses.

    Example:
        ``EncodingBudget(characters=ON_LOOP, limit=32768).encode(text)``
    """

    def __init__(self, *, characters: int | None = None, limit: int | None = None) -> None:
        """Set the bounds. ``characters``: the most to be encoded; None: no bound. ``limit``: tokens that fit;
        None: no bound."""
        self._characters = characters
        self._limit = limit
        self._expected = 0

    def encode(self, characters: int) -> None:
        """Count text that is about to be encoded. Raises NeedsThread when it is too much."""
        if self._characters is not None:
            self._characters -= characters
            if self._characters < 0:
                raise NeedsThread

    def expect(self, tokens: int) -> None:
        """Count the least tokens that the prompt will have, before it is encoded.

        Raises ContextTooLong when they cannot fit.
        """
        self._expected += tokens
        if self._limit is not None and self._expected > self._limit:
            raise _too_long(self._limit, self._expected)

    def check(self, tokens: int) -> None:
        """Raise ContextTooLong when a prompt that has ``tokens`` tokens so far is far too long."""
        if self._limit is not None and tokens > self._limit * TIMES_TOO_LONG:
            raise _too_long(self._limit, tokens)


def _too_long(limit: int, tokens: int) -> ContextTooLong:
    return ContextTooLong(limit=limit, prompt_tokens=tokens, completion_tokens=1, at_least=True)
