"""`ExpiryClock`: the times by which versions end, on a clock that may jump."""

from __future__ import annotations

import time
from collections.abc import Callable

SETTLE_S = 3600.0
"""Seconds from the start in which nothing is deleted for good, so that a wrong clock can be put right."""


class ExpiryClock:
    """The wall clock beside the monotonic one, which no jump moves.

    A version ends when either clock says so: a wall clock that jumps back resurrects nothing. What has ended is deleted
    when both say so: one that jumps forward hides versions, and deletes none before its grace has really passed.

    Example:
        ``clock = ExpiryClock(); expired = document.expires <= clock.ended_by()``
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._began_wall, self._began = wall(), monotonic()

    def ended_by(self) -> float:
        """Return the Unix time up to which versions have ended."""
        return max(self._wall(), self._elapsed())

    def deleted_by(self) -> float:
        """Return the Unix time up to which what has ended may be deleted; before any in the first ``SETTLE_S``."""
        settled = self._monotonic() - self._began >= SETTLE_S
        return min(self._wall(), self._elapsed()) if settled else 0.0

    def _elapsed(self) -> float:
        return self._began_wall + self._monotonic() - self._began
