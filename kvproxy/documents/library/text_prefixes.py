"""`TextPrefixes`: an index that finds all stored texts that a text starts with, also where many begin alike."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

from kvproxy.core.common_prefix import common_prefix

V = TypeVar("V")


class TextPrefixes(Generic[V]):
    """Values by key, found by any text that starts with their key. Changed by one thread, read by any.

    A lookup costs a binary search and a step for each key that another key extends, for any number of other keys. The
    keys are sorted: a text's neighbour before it starts with each key that the text starts with.
    """

    def __init__(self) -> None:
        self._keys: list[str] = []
        """Sorted; replaced as a whole, so that a reader's list never changes."""
        self._values: dict[str, tuple[V, ...]] = {}
        self._shorter: dict[str, str | None] = {}
        """For each key, the longest other key that it starts with."""

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, key: str, values: tuple[V, ...]) -> None:
        """Set the values of ``key``; an empty tuple removes it."""
        known = key in self._values
        if values:
            self._values[key] = values
        if values and not known:
            self._add(key)
        elif known and not values:
            self._remove(key)

    def get(self, key: str) -> tuple[V, ...]:
        """Return the values of exactly ``key``; empty where it has none."""
        return self._values.get(key, ())

    def starting(self, text: str) -> Iterator[tuple[V, ...]]:
        """Yield the values of each key that ``text`` starts with, the longest key first."""
        keys = self._keys
        at = bisect_right(keys, text)
        key = keys[at - 1] if at else None
        if key is not None and not text.startswith(key):
            common = common_prefix(key, text)
            while key is not None and len(key) > common:
                key = self._shorter.get(key)
        while key is not None:
            yield self._values.get(key, ())
            key = self._shorter.get(key)

    def _add(self, key: str) -> None:
        at = bisect_left(self._keys, key)
        shorter = self._keys[at - 1] if at else None
        while shorter is not None and not key.startswith(shorter):
            shorter = self._shorter[shorter]
        self._shorter[key] = shorter
        self._keys = [*self._keys[:at], key, *self._keys[at:]]
        for longer in self._extending(key, at + 1):
            # Keys between the two are shorter than the part that the longer one shares.
            if len(self._shorter[longer] or "") < len(key):
                self._shorter[longer] = key

    def _remove(self, key: str) -> None:
        at = bisect_left(self._keys, key)
        shorter = self._shorter[key]
        for longer in self._extending(key, at + 1):
            if self._shorter[longer] == key:
                self._shorter[longer] = shorter
        self._keys = [*self._keys[:at], *self._keys[at + 1 :]]
        del self._values[key], self._shorter[key]

    def _extending(self, key: str, start: int) -> Iterator[str]:
        """Yield the keys that start with ``key``: they are sorted behind it."""
        for at in range(start, len(self._keys)):
            if not self._keys[at].startswith(key):
                return
            yield self._keys[at]
