"""Long texts that nobody sent lately: encoded on another thread, while the event loop serves others.

Composing stops at the first such text, and starts again when its tokens are there. Composing on other threads as
a whole was rejected: it reads the library, which belongs to the event loop, and takes 1 to 3 ms without them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")

LEAST = 1 << 14
"""Characters from which a text is worth a thread: about 4,000 tokens, 20 ms."""


class Pending(Exception):
    """Composing cannot go on before ``work`` is done, which is safe in any thread."""

    def __init__(self, key: Hashable, work: Callable[[], object]) -> None:
        super().__init__("a long text is to be encoded first")
        self.key = key
        self.work = work


class LateTexts:
    """Of one prompt: what was found out about its long texts. They need not fit a memo."""

    def __init__(self) -> None:
        self._found: dict[Hashable, object] = {}

    def put(self, pending: Pending, found: object) -> None:
        """``found``: what its ``work`` returned."""
        self._found[pending.key] = found

    def get(self, key: Hashable, work: Callable[[], T]) -> T:
        """What ``work`` returns, which depends on ``key`` alone. Raises Pending where it has to be done first."""
        if key not in self._found:
            raise Pending(key, work)
        return cast(T, self._found[key])
