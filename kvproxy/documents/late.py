"""Long texts that nobody sent lately: encoded on another thread, while the event loop serves others.

Composing stops at the first such text, and starts again when its tokens are there. Composing on other threads as
a whole was rejected: it reads the library, which belongs to the event loop, and takes 1 to 3 ms without them.
"""

from __future__ import annotations

from kvproxy.documents.text_memo import Encoded

LEAST = 1 << 14
"""Characters from which a text is worth a thread: about 4,000 tokens, 20 ms."""


class Pending(Exception):
    """Composing cannot go on before this text is encoded."""

    def __init__(self, text: str, stops: tuple[int, ...]) -> None:
        super().__init__(f"{len(text)} characters are to be encoded")
        self.text = text
        self.stops = stops


class LateTexts:
    """Of one prompt: the long texts that were encoded for it. They need not fit the memo."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, tuple[int, ...]], Encoded] = {}

    def put(self, pending: Pending, encoded: Encoded) -> None:
        self._texts[pending.text, pending.stops] = encoded

    def get(self, text: str, stops: tuple[int, ...]) -> Encoded:
        """Raises Pending for a text that has to be encoded first."""
        found = self._texts.get((text, stops))
        if found is None:
            raise Pending(text, stops)
        return found
