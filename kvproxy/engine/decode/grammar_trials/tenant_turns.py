"""Turns at compiling, tenant by tenant: one that asks for many waits behind its own, and delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PER_TENANT = 2
"""Compilations of one tenant under way."""


class TenantTurns:
    """Event loop only."""

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """One of the tenant's turns, in the order of asking."""
        turns = self._turns.setdefault(tenant, asyncio.Semaphore(PER_TENANT))
        self._users[tenant] = self._users.get(tenant, 0) + 1
        try:
            async with turns:
                yield
        finally:
            self._users[tenant] -= 1
            if not self._users[tenant]:
                del self._users[tenant], self._turns[tenant]
