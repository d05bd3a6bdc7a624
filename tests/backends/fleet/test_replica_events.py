from __future__ import annotations

from collections.abc import AsyncIterator
from unittest.mock import Mock

import aiohttp
import pytest

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_residency import FleetResidency
from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_events import ReplicaEvents, feed_sources
from kvproxy.backends.fleet.replica_facts import EventSockets, ReplicaFacts
from kvproxy.bench.private_postgres import free_port
from kvproxy.core import PUBLIC
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.settings.fleet_settings import FleetSettings
from tests.backends.fleet.conftest import OpenRig
from tests.server.doubles import eventually

TOLD = ReplicaFacts(
    "m", sockets=(EventSockets("tcp://h:1", "tcp://h:2", "t"), EventSockets("tcp://h:3", rank=1))
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def replica(session: aiohttp.ClientSession, sockets: EventSockets | None = None) -> FleetReplica:
    return FleetReplica(ReplicaClient(session, "a", "http://h:8000"), sockets=sockets)


async def test_every_rank_that_a_replica_tells_is_followed(session: aiohttp.ClientSession) -> None:
    first, second = feed_sources(replica(session), TOLD, bound=False)
    assert (first.endpoint, first.replay, first.topic, first.rank) == ("tcp://h:1", "tcp://h:2", "t", 0)
    assert (second.endpoint, second.topic, second.rank, second.address) == ("tcp://h:3", None, 1, "h:8000")


async def test_the_configurations_sockets_come_before_what_is_told(session: aiohttp.ClientSession) -> None:
    (only,) = feed_sources(replica(session, EventSockets("tcp://x:9", None)), TOLD, bound=False)
    assert (only.endpoint, only.replay) == ("tcp://x:9", None)


async def test_replicas_that_connect_are_told_apart_by_their_address(session: aiohttp.ClientSession) -> None:
    (only,) = feed_sources(replica(session), ReplicaFacts("m"), bound=True)
    assert (only.endpoint, only.topic, only.address) == (None, None, "h:8000")
    first, second = feed_sources(replica(session), TOLD, bound=True)
    assert (first.endpoint, first.replay, first.topic) == (None, "tcp://h:2", "t")
    assert (second.endpoint, second.rank) == (None, 1)


async def test_a_replica_that_connects_to_our_socket_is_heard(rig: OpenRig) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    options = ReplicaOptions(events_endpoint=endpoint, topic="any words")
    async with rig(1, options, events="bind", events_bind=endpoint) as fleet:
        await fleet.backend.keep(tuple(range(100)), PUBLIC)
        await eventually(lambda: fleet.backend._residency.events_known("a"))


async def test_events_are_followed_again_after_a_restart(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        await fleet.backend.keep(tuple(range(100)), PUBLIC)
        await fleet["a"].refuse()
        replica = fleet.backend._replicas.find("a")
        assert replica is not None
        fleet.backend._replicas.lost("a")
        assert fleet.backend._residency.blocks == 0 or not fleet.backend._residency.events_known("a")
        await fleet["a"].accept()
        await eventually(
            lambda: fleet.backend._residency.events_known("a")
        )  # by the replay of what it still has


async def test_a_replica_whose_sockets_are_others_now_begins_anew(session: aiohttp.ClientSession) -> None:
    """Blocks that the old sockets told would stay, and what is still on its way of them would come back."""
    settings = FleetSettings.model_validate(
        {"name": "f", "model": "m", "replicas": [{"name": "a", "url": "http://h:8000"}]}
    )
    residency, feed = FleetResidency(), Mock()
    events = ReplicaEvents(settings, residency)
    events._feed = feed
    events.follow(replica(session), TOLD)
    residency.index.confirm("a", [1, 2])
    feed.restart.assert_not_called()
    events.follow(replica(session), ReplicaFacts("m", sockets=(EventSockets("tcp://h:9"),)))
    assert residency.index.longest([1, 2]) == {}
    assert [call[0] for call in feed.method_calls] == ["follow", "follow", "unfollow", "follow", "restart"]
