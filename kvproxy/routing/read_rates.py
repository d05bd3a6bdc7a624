"""`ReadRates`: reads a minute by document, decayed, for a bounded number of documents."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True)
class ReadRates:
    """Rates of the documents that were read last. A rate is that of a Poisson process over about ``memory_s``."""

    memory_s: float = 300.0
    """Seconds in which a read loses 63 % of its weight."""
    most_documents: int = 100_000
    _counts: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._counts)

    def read(self, key: str, now: float) -> float:
        """Count a read at ``now`` (seconds that never go back); return the document's reads a minute.

        Example: ``rates.read("handbook@3", loop.time())``
        """
        count = self._decayed(key, now) + 1
        self._counts[key] = (count, now)
        self._counts.move_to_end(key)
        if len(self._counts) > self.most_documents:
            self._counts.popitem(last=False)
        return count * 60 / self.memory_s

    def per_minute(self, key: str, now: float) -> float:
        """Return a document's reads a minute at ``now``; 0 for one that was not read lately.

        Example: ``rates.per_minute("handbook@3", loop.time())``
        """
        return self._decayed(key, now) * 60 / self.memory_s

    def forget(self, key: str) -> None:
        """Forget the reads of a document that is gone; without any it is no error."""
        self._counts.pop(key, None)

    def _decayed(self, key: str, now: float) -> float:
        count, at = self._counts.get(key, (0.0, now))
        return count * math.exp(-max(0.0, now - at) / self.memory_s)
