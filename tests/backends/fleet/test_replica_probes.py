"""Probes of fake replicas: who is asked when, and what that makes of them."""

from __future__ import annotations

import asyncio
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.replica_checks import ReplicaChecks
from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_facts import ReplicaFacts
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.backends.fleet.replica_probes import ReplicaProbes
from kvproxy.bench.private_postgres import free_port
from kvproxy.settings.fleet_settings import FleetSettings
from tests.backends.fleet.conftest import FleetRig, ModelTexts, OpenRig
from tests.backends.fleet.fleet_requests import a_generation, answer_of
from tests.backends.fleet.raw_replica import head, raw_replica
from tests.server.doubles import eventually


def found(fleet: FleetRig, name: str = "a") -> FleetReplica:
    replica = fleet.backend._replicas.find(name)
    assert replica is not None
    return replica


async def test_a_suspect_that_answers_its_probe_is_taken_back(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        fleet.backend._replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
        assert not found(fleet).usable
        await eventually(lambda: found(fleet).usable)


async def test_one_that_is_sick_stays_away_until_it_is_well(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        fleet["a"].faults.health_status = 500
        fleet.backend._replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
        await eventually(lambda: found(fleet).health.state == "down")
        assert fleet.backend.ready() is None
        fleet["a"].faults.health_status = None
        await eventually(lambda: found(fleet).usable)


async def test_one_that_serves_something_else_when_it_comes_back_gets_nothing(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        await fleet["a"].refuse()
        fleet.backend._replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
        fleet["a"].faults.wrong_tokenizer = True
        await fleet["a"].accept()
        await eventually(lambda: found(fleet).mismatch is not None)
        assert (
            fleet.backend.ready() == "its replicas serve another model, or in another way; the log says what"
        )


async def test_one_that_serves_something_else_and_goes_away_is_asked_when_it_is_back(rig: OpenRig) -> None:
    """An operator starts it anew with the right model; that takes longer than one question."""
    async with rig(1) as fleet:
        fleet["a"].faults.wrong_tokenizer = True
        fleet.backend._replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
        found(fleet).facts = None
        await eventually(lambda: found(fleet).mismatch is not None)
        await fleet["a"].refuse()
        fleet.backend._replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
        fleet["a"].faults.wrong_tokenizer = False
        await fleet["a"].accept()
        await eventually(lambda: found(fleet).usable)


async def test_the_load_of_others_is_forgotten_once_it_is_not_told(
    rig: OpenRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(1) as fleet:
        replica, replicas = found(fleet), fleet.backend._replicas
        assert replica.facts is not None
        probes = ReplicaProbes(replicas, cast(ReplicaChecks, None), lambda *_: None)
        fleet["a"]._state.load = 7
        await probes._look(replica)
        assert (replica.others, replicas.loads.load("a").running) == (7, 7)

        async def silent(path: str, *, within_s: float = 0.0) -> None:
            if path == "/load":
                raise ReplicaFailed("a", "down", "it took too long", status=504)

        with monkeypatch.context() as patch:
            patch.setattr(replica.client, "get", silent)
            await probes._look(replica)
        assert (replica.others, replicas.loads.load("a").running) == (0, 0)
        await probes._look(replica)
        assert replica.others == 7


async def test_a_killed_replicas_cache_is_gone_once_it_refuses_its_probe(texts: ModelTexts) -> None:
    """It resets its streams first, and is only suspected then."""
    settings = FleetSettings.model_validate({"name": "f", "model": "m", "dns": {"host": "vllm"}})
    checks = ReplicaChecks(settings, texts.tokenizer, texts.template)
    async with aiohttp.ClientSession() as session:
        replica = FleetReplica(ReplicaClient(session, "a", f"http://127.0.0.1:{free_port()}"))
        replicas, lost = FleetReplicas(), list[str]()
        replicas.lost = lost.append
        replicas.add(replica)
        replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
        replicas.probe_begins(replica)
        await ReplicaProbes(replicas, checks, lambda replica, facts: None)._probe(replica)
    assert replica.health.state == "down" and lost == ["a"]


async def test_a_load_that_is_not_told_once_is_asked_for_again(texts: ModelTexts) -> None:
    answers = iter([(200, b'{"server_load": 5}'), (500, b"{}"), (200, b'{"server_load": 3}'), (404, b"{}")])

    async def load(request: web.Request) -> web.Response:
        status, body = next(answers)
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/load", load)
    settings = FleetSettings.model_validate({"name": "f", "model": "m", "dns": {"host": "vllm"}})
    checks = ReplicaChecks(settings, texts.tokenizer, texts.template)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        replica, replicas = (
            FleetReplica(ReplicaClient(session, "a", str(server.make_url("")))),
            FleetReplicas(),
        )
        replicas.add(replica)
        probes, seen = ReplicaProbes(replicas, checks, lambda replica, facts: None), list[int]()
        for _ in range(5):  # the fifth is not asked
            await probes._load(replica)
            seen.append(replica.others)
    assert seen == [5, 0, 3, 0, 0] and replicas.loads.load("a").running == 0


async def test_a_router_that_is_well_in_words_is_well(texts: ModelTexts) -> None:
    settings = FleetSettings.model_validate({"name": "f", "model": "m", "dns": {"host": "vllm"}})
    checks = ReplicaChecks(settings, texts.tokenizer, texts.template)
    async with raw_replica(head(), b"Healthy") as url, aiohttp.ClientSession() as session:
        replica, replicas = FleetReplica(ReplicaClient(session, "a", url)), FleetReplicas()
        replica.facts = ReplicaFacts("m")
        replicas.add(replica)
        replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
        replicas.probe_begins(replica)
        await ReplicaProbes(replicas, checks, lambda replica, facts: None)._probe(replica)
    assert replica.usable


async def test_another_engine_at_the_same_address_is_checked(rig: OpenRig) -> None:
    """One that is exchanged between two looks was never away."""
    async with rig(1) as fleet:
        await answer_of(fleet.backend, a_generation((1, 2, 3)))
        fleet["a"].faults.wrong_tokenizer = True
        fleet.backend._replicas.identified(found(fleet), "another engine")
        await eventually(lambda: found(fleet).mismatch is not None)


async def test_one_that_leaves_while_it_is_checked_is_not_followed(rig: OpenRig, texts: ModelTexts) -> None:
    async with rig(1) as fleet:
        replica, replicas = found(fleet), FleetReplicas()
        seen: list[str] = []
        checks = ReplicaChecks(fleet.backend._settings, texts.tokenizer, texts.template)
        await ReplicaProbes(replicas, checks, lambda replica, facts: seen.append(replica.name)).check(replica)
        assert seen == []


async def test_a_mismatch_that_is_mended_by_a_restart_is_seen(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        fleet.backend._replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
        fleet["a"].faults.wrong_tokenizer = True
        await eventually(lambda: found(fleet).mismatch is not None)
        fleet.backend._replicas.failed(ReplicaFailed("a", "down", "refused", unreachable=True))
        fleet["a"].faults.wrong_tokenizer = False
        await eventually(lambda: found(fleet).usable)


async def test_a_replica_that_drains_finishes_what_it_has(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        fleet["a"].faults.change({"fail_status": 503, "retry_after_s": 1, "fail_requests": 1})
        with pytest.raises(Exception, match="too much to do"):
            await answer_of(fleet.backend, a_generation((1, 2, 3)))
        assert found(fleet).health.state == "draining"
        await eventually(lambda: found(fleet).usable)


async def test_an_opened_fleet_leaves_no_task_behind(rig: OpenRig) -> None:
    before = asyncio.all_tasks()
    async with rig(2) as fleet:
        fleet.backend._replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
    left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}  # type: ignore[union-attr]  # coroutines
    assert left == set()
