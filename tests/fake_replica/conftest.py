"""A fake replica with small blocks, and a client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions


@pytest.fixture
async def replica() -> AsyncIterator[FakeReplica]:
    async with FakeReplica(ReplicaOptions(block_tokens=16, blocks=64)) as replica:
        yield replica


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
