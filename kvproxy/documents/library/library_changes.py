"""`LibraryChanges`: the names of documents that changed lately, for who keeps an order of all of them."""

from __future__ import annotations

from collections import deque

MOST = 4096
"""Changes that are remembered; who is further behind looks at everything again."""


class LibraryChanges:
    """A count of changes and the last names. Written on the event loop, read in any thread.

    Example: ``changes.note("handbook"); changes.since(0) == {"handbook"}``
    """

    __slots__ = ("_last", "count")

    def __init__(self) -> None:
        self.count = 0
        self._last: deque[tuple[int, str]] = deque(maxlen=MOST)

    def note(self, name: str) -> None:
        """Remember that the versions of one ``DocumentRef.name`` are others now."""
        self._last.append((self.count + 1, name))
        self.count += 1

    def since(self, count: int) -> set[str] | None:
        """Return the names that changed after ``count`` changes; None where that is not remembered any more."""
        if count == self.count:
            return set()
        last = self._last.copy()
        if not last or last[0][0] > count + 1:
            return None
        return {name for at, name in last if at > count}
