from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.replica_discovery import ReplicaDiscovery, resolve
from kvproxy.backends.fleet.replica_facts import ReplicaFacts
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.settings.fleet_settings import FleetSettings


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def settings(**dns: object) -> FleetSettings:
    return FleetSettings.model_validate({"name": "f", "model": "m", "dns": {"host": "vllm", **dns}})


async def test_addresses_come_and_go(session: aiohttp.ClientSession) -> None:
    found = ["10.0.0.1", "10.0.0.2"]
    replicas = FleetReplicas()
    left: list[str] = []
    replicas.left = left.append
    discovery = ReplicaDiscovery(settings(port=9000), session, replicas, lambda host, port: tuple(found))
    await discovery.refresh()
    assert sorted(r.name for r in replicas) == ["10.0.0.1:9000", "10.0.0.2:9000"]
    kept = replicas.find("10.0.0.2:9000")
    found[:] = ["10.0.0.2", "fd00::7"]
    await discovery.refresh()
    assert sorted(r.name for r in replicas) == ["10.0.0.2:9000", "[fd00::7]:9000"]
    assert replicas.find("10.0.0.2:9000") is kept and left == ["10.0.0.1:9000"]
    six = replicas.find("[fd00::7]:9000")
    assert six is not None and six.client.address == "http://[fd00::7]:9000"


def healthy(replica: FleetReplica) -> None:
    replica.facts = ReplicaFacts("m")


async def test_a_healthy_replica_stays_until_three_answers_in_a_row_lack_it(
    session: aiohttp.ClientSession,
) -> None:
    one, other, both = ("10.0.0.1",), ("10.0.0.2",), ("10.0.0.1", "10.0.0.2")
    replicas, left = FleetReplicas(), list[str]()
    replicas.left = left.append
    answers = iter([both, one, one, both, one, other, one, one, one])
    discovery = ReplicaDiscovery(settings(), session, replicas, lambda host, port: next(answers))
    await discovery.refresh()
    kept = list(replicas)
    for replica in replicas:
        healthy(replica)
    for _ in range(7):
        await discovery.refresh()
        assert list(replicas) == kept and left == []
    await discovery.refresh()
    assert [r.name for r in replicas] == ["10.0.0.1:8000"] and left == ["10.0.0.2:8000"]


async def test_a_replica_that_is_missing_and_takes_no_requests_goes_at_once(
    session: aiohttp.ClientSession,
) -> None:
    answers = iter([("10.0.0.1", "10.0.0.2"), ("10.0.0.1",), ("10.0.0.1",)])
    replicas = FleetReplicas()
    discovery = ReplicaDiscovery(settings(), session, replicas, lambda host, port: next(answers))
    await discovery.refresh()
    missing = replicas.find("10.0.0.2:8000")
    assert missing is not None
    healthy(missing)
    await discovery.refresh()
    assert "10.0.0.2:8000" in replicas
    replicas.failed(ReplicaFailed("10.0.0.2:8000", "down", "refused", unreachable=True))
    await discovery.refresh()
    assert "10.0.0.2:8000" not in replicas


async def test_a_name_that_cannot_be_resolved_changes_nothing(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([("10.0.0.1",)])

    def lookup(host: str, port: int) -> tuple[str, ...]:
        try:
            return next(answers)
        except StopIteration as e:
            raise OSError("no such host") from e

    replicas = FleetReplicas()
    discovery = ReplicaDiscovery(settings(), session, replicas, lookup)
    await discovery.refresh()
    await discovery.refresh()
    await discovery.refresh()
    assert [r.name for r in replicas] == ["10.0.0.1:8000"]
    assert caplog.text.count("cannot be resolved (no such host): see dns.host") == 1


async def test_the_event_sockets_have_the_addresses_host(session: aiohttp.ClientSession) -> None:
    replicas = FleetReplicas()
    made = settings(events_port=5557, replay_port=5558)
    await ReplicaDiscovery(made, session, replicas, lambda host, port: ("10.0.0.1",)).refresh()
    (one,) = replicas
    assert one.sockets is not None
    assert (one.sockets.endpoint, one.sockets.replay) == ("tcp://10.0.0.1:5557", "tcp://10.0.0.1:5558")


async def test_a_replay_socket_alone_is_for_replicas_that_connect_to_this_proxy(
    session: aiohttp.ClientSession,
) -> None:
    listed = [{"url": "http://h:8000", "replay": "tcp://h:5558"}]
    bound = {"events": "bind", "events_bind": "tcp://*:44300", "replicas": listed}
    made = FleetSettings.model_validate(
        {"name": "f", "model": "m", "dns": {"host": "vllm", "replay_port": 5558}, **bound}
    )
    replicas = FleetReplicas()
    discovery = ReplicaDiscovery(made, session, replicas, lambda host, port: ("10.0.0.1",))
    discovery.add_listed()
    await discovery.refresh()
    assert [(r.sockets.endpoint, r.sockets.replay) for r in replicas if r.sockets] == [
        (None, "tcp://h:5558"),
        (None, "tcp://10.0.0.1:5558"),
    ]


async def test_listed_replicas_stay_beside_those_of_dns(session: aiohttp.ClientSession) -> None:
    made = FleetSettings.model_validate(
        {
            "name": "f",
            "model": "m",
            "dns": {"host": "vllm"},
            "replicas": [{"url": "http://h:8000/v1", "weight": 2, "events": "tcp://h:1"}],
        }
    )
    replicas = FleetReplicas()
    discovery = ReplicaDiscovery(made, session, replicas, lambda host, port: ())
    discovery.add_listed()
    await discovery.refresh()
    (one,) = replicas
    assert (one.name, one.weight, one.client.address) == ("h:8000", 2.0, "http://h:8000")
    assert one.sockets is not None and one.sockets.endpoint == "tcp://h:1"


def test_this_machines_own_name_is_resolved() -> None:
    assert "127.0.0.1" in resolve("localhost", 80)
