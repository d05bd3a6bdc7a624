"""The health of replicas as the router sees it, with a clock of the test's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_facts import ReplicaFacts
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.routing.prefill_speed import PrefillSample


class Clock:
    now = 100.0


@pytest.fixture
async def replicas() -> AsyncIterator[FleetReplicas]:
    async with aiohttp.ClientSession() as session:
        found = FleetReplicas(clock=lambda: Clock.now, chance=lambda: 0.5)
        for name in "ab":
            replica = FleetReplica(ReplicaClient(session, name, f"http://{name}:1"))
            replica.facts = ReplicaFacts("m")
            found.add(replica)
        Clock.now = 100.0
        yield found


def state(replicas: FleetReplicas, name: str = "a") -> str:
    replica = replicas.find(name)
    assert replica is not None
    return replica.health.state


async def test_one_that_is_not_checked_gets_nothing(replicas: FleetReplicas) -> None:
    replica = replicas.find("a")
    assert replica is not None
    replica.facts = None
    replicas.changed(replica)
    assert replicas.usable() == {"b"} and not replicas.loads.load("a").up
    assert replica.state.startswith("unchecked")


async def test_a_first_failure_is_suspected_and_a_second_one_believed(replicas: FleetReplicas) -> None:
    replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
    assert state(replicas) == "suspect" and replicas.usable() == {"b"}
    assert replicas.last_resorts() == ("a", "b")
    replicas.failed(ReplicaFailed("a", "down", "500"))
    assert state(replicas) == "down" and replicas.last_resorts() == ("b",)


async def test_one_that_refuses_connections_is_down_at_once_and_its_cache_gone(
    replicas: FleetReplicas,
) -> None:
    lost: list[str] = []
    replicas.lost = lost.append
    replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
    assert state(replicas) == "down" and lost == ["a"]
    assert replicas.due() == []
    Clock.now += 1.5
    (due,) = replicas.due()
    replicas.probe_begins(due)
    assert replicas.due() == []
    replicas.probe_ended(due, well=True)
    assert state(replicas) == "up" and set(replicas.usable()) == {"a", "b"}


async def test_the_cache_of_one_that_refuses_its_probe_is_gone(replicas: FleetReplicas) -> None:
    """A replica that is killed resets its streams, is suspected, and refuses its probe."""
    lost: list[str] = []
    replicas.lost = lost.append
    replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
    (due,) = replicas.due()
    replicas.probe_begins(due)
    replicas.probe_ended(due, well=False, error="refused", gone=True)
    assert state(replicas) == "down" and lost == ["a"]


async def test_one_that_does_not_match_is_probed_once_it_was_away(replicas: FleetReplicas) -> None:
    replica = replicas.find("a")
    assert replica is not None
    replica.mismatch, replica.facts = "another tokenizer", None
    replicas.changed(replica)
    replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
    Clock.now += 1.5
    assert replicas.due() == [replica]


async def test_the_probe_of_one_that_has_left_says_nothing_of_another_by_its_name(
    replicas: FleetReplicas,
) -> None:
    before = replicas.find("a")
    assert before is not None
    replicas.remove("a")
    replicas.add(FleetReplica(before.client))  # not checked yet
    replicas.changed(before)
    assert not replicas.loads.load("a").up


async def test_a_503_drains_for_as_long_as_it_says(replicas: FleetReplicas) -> None:
    replicas.failed(ReplicaFailed("a", "busy", "503", retry_after_s=30, status=503))
    assert state(replicas) == "draining"
    Clock.now += 29
    assert replicas.due() == []
    Clock.now += 2
    assert [r.name for r in replicas.due()] == ["a"]


async def test_a_429_is_no_fault(replicas: FleetReplicas) -> None:
    replicas.failed(ReplicaFailed("a", "busy", "429", retry_after_s=30, status=429))
    assert state(replicas) == "up"


async def test_another_engine_at_the_same_address_has_an_empty_cache(replicas: FleetReplicas) -> None:
    lost: list[str] = []
    replicas.lost = lost.append
    replica = replicas.find("a")
    assert replica is not None
    for fingerprint in ("one", None, "", "one", "two"):
        replicas.identified(replica, fingerprint)
    assert lost == ["a"] and replica.fingerprint == "two"
    assert replica.another  # and it is checked again


async def test_one_that_knows_the_model_no_more_is_checked_before_it_is_taken_back(
    replicas: FleetReplicas,
) -> None:
    replicas.failed(ReplicaFailed("a", "misconfigured", "it answered 404", status=404))
    replica = replicas.find("a")
    assert replica is not None and not replica.checked
    replicas.probe_begins(replica)
    assert replicas.last_resorts() == ("b",)
    replicas.probe_ended(replica, well=True)
    assert replicas.usable() == {"b"}


async def test_one_that_has_left_is_counted_nowhere(replicas: FleetReplicas) -> None:
    left: list[str] = []
    replicas.left = left.append
    replicas.remove("a")
    replicas.remove("a")
    replicas.sent("a", 10)
    replicas.prefilled("a", PrefillSample(100, 1.0))
    replicas.failed(ReplicaFailed("a", "down", "gone"))
    replicas.succeeded("a")
    assert left == ["a"] and replicas.queue_s("a") == 0.0 and len(replicas) == 1
    assert replicas.speeds.samples() == {}


async def test_the_requests_of_others_count_as_running(replicas: FleetReplicas) -> None:
    replica = replicas.find("a")
    assert replica is not None
    replicas.sent("a", 100)
    replicas.loads.prefilled("a", 100)
    replicas.others(replica, 5)
    assert (replicas.loads.load("a").running, replica.others) == (5, 4)
    replicas.others(replica, 1)
    assert (replicas.loads.load("a").running, replica.others) == (1, 0)
    replicas.others(replica, 5)
    replicas.others(replica, None)
    assert (replicas.loads.load("a").running, replica.others) == (1, 0)


async def test_own_requests_that_wait_are_not_those_of_others(replicas: FleetReplicas) -> None:
    replica = replicas.find("a")
    assert replica is not None
    with replica.awaited(asyncio.timeout(60)):
        replicas.others(replica, 3)
    assert (replicas.loads.load("a").running, replica.others) == (2, 2)


async def test_measured_speed_gives_the_seconds_that_wait(replicas: FleetReplicas) -> None:
    replicas.prefilled("a", PrefillSample(1000, 0.5))
    replicas.sent("a", 500)
    assert replicas.queue_s("a") == pytest.approx(0.25)


async def test_an_outage_is_told_once_however_often_it_is_probed(
    replicas: FleetReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    replica = replicas.find("a")
    assert replica is not None
    with caplog.at_level(logging.INFO):
        replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
        for _ in range(5):
            replicas.probe_begins(replica)
            replicas.probe_ended(replica, well=False, error="refused")
        replicas.probe_begins(replica)
        replicas.probe_ended(replica, well=False, error="silent")
        replicas.probe_begins(replica)
        replicas.probe_ended(replica, well=True)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "replica a is down: refused"),
        ("INFO", "replica a is down: silent"),
        ("INFO", "replica a is up"),
    ]
