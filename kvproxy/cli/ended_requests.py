"""`EndedRequests`: the feed of requests as they end, followed in a thread, for `kvproxy top` to look again at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kvproxy.client import Client, RequestFailed

LEAST_S = 0.5
"""Seconds between two looks at most busy times."""
AGAIN_S = 5.0
"""Seconds until a feed that broke off is opened again."""


class EndedRequests:
    """A wait that ends early when a request has ended, of this API key's tenant.

    The figures themselves have no events: the dashboard's are HTML for a browser's session. So they are asked for, and
    the feed says when that is worth it. Without a feed, at a proxy that is away, the wait takes its whole time.

    Example: ``with EndedRequests(lambda: Client(url, key)) as ended: ended.wait(2.0)``
    """

    def __init__(self, connect: Callable[[], Client]) -> None:
        """``connect`` opens a client of its own for the thread."""
        self._connect = connect
        self._ended, self._closed = threading.Event(), threading.Event()

    def __enter__(self) -> EndedRequests:
        # A daemon: it waits in a read of the feed, which nothing but the process's end interrupts.
        threading.Thread(target=self._follow, name="top-feed", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()

    def wait(self, seconds: float) -> bool:
        """Wait until a request has ended, at least LEAST_S and at most ``seconds``; return whether one has."""
        least = min(LEAST_S, seconds)
        self._closed.wait(least)
        found = self._ended.wait(seconds - least)
        self._ended.clear()
        return found

    def _follow(self) -> None:
        with self._connect() as client:
            while not self._closed.is_set():
                try:
                    for _ in client.requests(last=0):
                        self._ended.set()
                except RequestFailed as e:
                    if e.answered in (401, 403):
                        return  # another key is another process
                self._closed.wait(AGAIN_S)
