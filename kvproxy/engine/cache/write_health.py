"""`WriteHealth`: whether a place on disk takes pages, told once when it stops and once when it goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

RETRY_S = 10.0
"""Seconds without writes after a failed one (a full disk, a read-only one). The next page after that is an attempt."""


class WriteHealth:
    """The state of writing behind: pages go on in memory alone while the disk refuses them. Engine thread only.

    ``failing`` and ``failures`` may be read by any thread.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start healthy. ``what`` begins the log's lines: "pages that requests computed again are not stored"."""
        self._what, self._clock = what, clock
        self._resumes_at = 0.0
        self.failing = False
        self.failures = 0
        """Pages that could not be written, since the start."""

    def may_write(self) -> bool:
        """Return whether a page is to be written now: the last one was, or long enough ago."""
        return not self.failing or self._clock() >= self._resumes_at

    def failed(self, error: BaseException) -> None:
        """Record a page that was not written. The first one is logged, those after it are not."""
        self.failures += 1
        self._resumes_at = self._clock() + RETRY_S
        if not self.failing:
            self.failing = True
            logger.warning(
                "%s until the disk takes pages again, which is tried every %.0f s: %s",
                self._what,
                RETRY_S,
                error,
            )

    def wrote(self) -> None:
        """Record a page that was written."""
        if self.failing:
            self.failing = False
            logger.info("the disk takes pages again; this has ended: %s", self._what)
