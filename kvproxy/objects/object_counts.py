"""`ObjectCounts`: the bytes that went to and came from an object store, and the requests that failed."""

from __future__ import annotations

import threading
from collections import Counter


class ObjectCounts:
    """Counts that only grow. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes_sent = 0
        self.bytes_received = 0
        self._failures: Counter[str] = Counter()

    def sent(self, size: int) -> None:
        """Count the bytes of an object that was written."""
        with self._lock:
            self.bytes_sent += size

    def received(self, size: int) -> None:
        """Count the bytes of an object that was read."""
        with self._lock:
            self.bytes_received += size

    def failed(self, operation: str) -> None:
        """Count a request that failed, or was refused while the store is left alone."""
        with self._lock:
            self._failures[operation] += 1

    @property
    def failures(self) -> int:
        """Requests that failed, of all operations."""
        with self._lock:
            return sum(self._failures.values())
