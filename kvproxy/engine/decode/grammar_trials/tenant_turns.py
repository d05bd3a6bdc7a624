"""Tenant turns: limits the compilations under way by tenant, so that a tenant with many delays only its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PER_TENANT = 2
"""Most compilations of one tenant that run at a time."""


class TenantTurns:
    """A semaphore for each tenant that compiles. Event loop only."""

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Hold one of the tenant's turns, granted in the order of the calls."""
        turns = self._turns.setdefault(tenant, asyncio.Semaphore(PER_TENANT))
        self._users[tenant] = self._users.get(tenant, 0) + 1
        try:
            async with turns:
                yield
        finally:
            self._users[tenant] -= 1
            if not self._users[tenant]:
                del self._users[tenant], self._turns[tenant]
