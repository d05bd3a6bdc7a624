"""`NameListing`: lists an object store's pages at the start and again and again, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_results import ObjectsUnavailable

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 1.0


class NameListing:
    """Keeps the names of ``ObjectPages`` fresh, so that pages of other proxies are found.

    Example:
        ``listing = NameListing(pages, every_s=300.0, known=behind.resume); listing.wait(60); listing.close()``
    """

    def __init__(self, pages: ObjectPages, every_s: float, known: Callable[[], object]) -> None:
        """Start the thread. ``known`` is called on it once, after the first listing that has succeeded."""
        self._pages, self._every_s, self._known = pages, every_s, known
        self._stop, self._tried = threading.Event(), threading.Event()
        self._succeeded = False
        self._thread = threading.Thread(target=self._run, name="kvproxy-object-names", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the first attempt; return whether the names are known."""
        self._tried.wait(timeout_s)
        return self._succeeded

    def close(self) -> None:
        """Stop; a listing that has begun is left to itself. Idempotent."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                found = self._pages.refresh()
            except Exception as e:  # whatever a driver raises: the thread goes on
                if not self._tried.is_set():
                    why = e.detail if isinstance(e, ObjectsUnavailable) else repr(e)
                    logger.warning("the object store cannot be listed; its pages are not used yet: %s", why)
                pause_s = min(max(_FIRST_PAUSE_S, 2 * pause_s), self._every_s)
            else:
                if not self._succeeded:
                    logger.info("the object store has %d pages of this engine", found)
                    self._known()
                self._succeeded = True
                pause_s = self._every_s
            self._tried.set()
