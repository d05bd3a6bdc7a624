"""`ResponseStore`: the protocol of stores of responses that a caller's later request may continue."""

from __future__ import annotations

import asyncio
from typing import Protocol


class ResponseStore(Protocol):
    """Records by (scope, id), for a limited time and up to a size: no scope can reach another's, nor push out one that
    holds less than itself. What is put is found by every later ``get`` of the same process, written or not."""

    def put(self, scope: str, id: str, record: bytes) -> asyncio.Future[None]:
        """Write a record; it begins at once and need not be awaited. Never raises for a failing disk or database. The
        future ends when the record would outlive a kill of this process, or when that cannot be said soon.

        Example: ``store.put("tenant:a", "resp_1", json.dumps(response).encode())``
        """

    async def get(self, scope: str, id: str) -> bytes | None:
        """Return the record, or None. Raises Unavailable where that cannot be known now."""

    async def delete(self, scope: str, id: str) -> bool:
        """Delete a record; return whether there was one. Raises Unavailable when it may still be there."""

    def check(self) -> list[str]:
        """Return every fault in words. Blocks."""

    def drop_damaged(self) -> int:
        """Delete every record that fails its digest; return their number. Blocks."""

    def close(self) -> None:
        """Write what is not written yet, and close. Idempotent."""
