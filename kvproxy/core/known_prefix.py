"""`KnownPrefix`: the part of a prompt that was published, with page keys that need not be computed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PageKeys:
    """The page keys of one published prefix, and the bounds of its token ids, computed once by whoever asks first.

    Keys are not more than a hint: a lookup confirms each page that it finds by its token ids. Safe in any thread, since
    equal values are computed where two threads come first.
    """

    _made: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    """By the parent key of first pages: one entry, unless engines of several fingerprints share a library."""
    _bounds: list[tuple[int, int]] = field(default_factory=list)

    def of(self, root: bytes, make: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...]:
        """Return the keys below ``root``; calls ``make`` the first time.

        Example:
            ``keys = known.keys.of(index.root, lambda: tuple(chain(token_ids)))``
        """
        found = self._made.get(root)
        if found is None:
            found = self._made[root] = make()
        return found

    def bounds(self, prefix: Callable[[], Sequence[int]]) -> tuple[int, int]:
        """Return the smallest and the largest token id of the prefix, which is asked for the first time.

        Example:
            ``low, high = known.keys.bounds(lambda: token_ids[: known.tokens])``
        """
        if not self._bounds:
            ids = prefix()
            self._bounds.append((min(ids), max(ids)))
        return self._bounds[0]


@dataclass(frozen=True, slots=True)
class KnownPrefix:
    """The prompt's first ``tokens`` positions are those of a published prefix."""

    tokens: int
    keys: PageKeys
    """Keys of the full pages among these positions."""
