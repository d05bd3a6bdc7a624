from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_facts import ReplicaFacts


@pytest.fixture
async def replica() -> AsyncIterator[FleetReplica]:
    async with aiohttp.ClientSession() as session:
        yield FleetReplica(ReplicaClient(session, "a", "http://a:1"))


async def test_a_replica_is_used_once_it_was_checked(replica: FleetReplica) -> None:
    seen = [(replica.usable, replica.state)]
    replica.facts = ReplicaFacts("m")
    seen.append((replica.usable, replica.state))
    replica.mismatch = "it serves something else"
    seen.append((replica.usable, replica.state))
    assert seen == [(False, "unchecked, up"), (True, "up"), (False, "refused: it serves something else")]


async def test_abandoning_a_replica_ends_all_waits_for_it(replica: FleetReplica) -> None:
    async def wait() -> str:
        try:
            async with asyncio.timeout(3600) as within:
                with replica.awaited(within):
                    await asyncio.Event().wait()
        except TimeoutError:
            return "left"
        return "answered"

    waits = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    replica.abandon()
    assert await asyncio.gather(*waits) == ["left"] * 3
    replica.abandon()  # nobody waits any more


async def test_who_has_its_first_byte_is_not_disturbed(replica: FleetReplica) -> None:
    async with asyncio.timeout(3600) as within:
        with replica.awaited(within):
            pass
        replica.abandon()
        await asyncio.sleep(0)
    assert not within.expired()
