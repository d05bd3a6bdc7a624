"""`PrefillProgress`: the positions of a prompt that an engine has so far: what a client that leaves has used."""

from __future__ import annotations

from collections.abc import Callable


class PrefillProgress:
    """Read on the event loop, at any time; the engine's own counters are looked at, nothing is copied for it."""

    def __init__(self) -> None:
        self._read: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def follow(self, read: Callable[[], tuple[int, int]]) -> None:
        """Follow a generation: ``read`` returns the positions taken from kept pages, and all positions with KV. A
        generation that takes the place of another, as a miss does of a lost hit, is followed instead."""
        self._read = read

    @property
    def cached(self) -> int:
        """Positions taken from kept pages."""
        return self._read()[0]

    @property
    def reached(self) -> int:
        """Positions with KV, cached and computed."""
        return self._read()[1]
