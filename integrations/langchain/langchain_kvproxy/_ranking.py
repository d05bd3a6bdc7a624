"""`Ranking`: a stable order of retrieved documents, the most often returned first."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

_LEAD = 2
"""A document overtakes another when it has been returned more than twice as often, ..."""
_MARGIN = 2
"""... and by this many on top, so that the first few queries settle nothing."""


class Ranking:
    """An order of texts by the number of queries that returned them, without oscillation.

    Every change of the order costs the prefixes that it cuts, so two texts change places only when the one
    behind has clearly been returned more often (see ``_LEAD``); then they stay, unless the other comes to lead
    as clearly. Texts that are shared alike keep the order of their ids. Safe from several threads.
    """

    def __init__(self, limit: int = 4096) -> None:
        """Make an empty ranking of at most ``limit`` texts; of more, those at the end of the order are forgotten."""
        self._limit = limit
        self._lock = threading.Lock()
        self._order: list[str] = []
        self._counts: dict[str, int] = {}
        self._ids: dict[str, str] = {}

    def seen(self, texts: Mapping[str, str]) -> None:
        """Count one query that returned these texts: digest to id."""
        with self._lock:
            for digest in sorted(texts, key=lambda d: (texts[d], d)):
                if digest not in self._counts:
                    self._order.append(digest)
                    self._ids[digest] = texts[digest]
                self._counts[digest] = self._counts.get(digest, 0) + 1
                self._rise(digest)
            while len(self._order) > self._limit:
                forgotten = self._order.pop()
                del self._counts[forgotten], self._ids[forgotten]

    def count(self, digest: str) -> int:
        """Return the number of queries that returned the text with this digest."""
        with self._lock:
            return self._counts.get(digest, 0)

    def shared(self, digests: Iterable[str]) -> dict[str, int]:
        """Return each text's place for ``canonical``: higher is further to the front, and no two are equal."""
        wanted = set(digests)
        with self._lock:
            places = [digest for digest in self._order if digest in wanted]
        return {digest: len(places) - i for i, digest in enumerate(places)}

    def _rise(self, digest: str) -> None:
        at = self._order.index(digest)
        to = at
        while to and self._goes_before(digest, self._order[to - 1]):
            to -= 1
        if to != at:
            del self._order[at]
            self._order.insert(to, digest)

    def _goes_before(self, digest: str, other: str) -> bool:
        count, others = self._counts[digest], self._counts[other]
        if count > _LEAD * others + _MARGIN:
            return True
        # A text returned for the first time is placed by its id, behind all that are shared more widely, for good.
        return count == 1 and others <= _MARGIN and (self._ids[digest], digest) < (self._ids[other], other)
