"""``kvproxy bench fleet-simulation``: fleets of several sizes, each with every router, and with a tenth leaving."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.bench.fleet_simulation.fleet_traffic import TrafficPlan, TurnArrival, make_traffic
from kvproxy.bench.fleet_simulation.simulated_cache import SimulatedCache
from kvproxy.bench.fleet_simulation.simulated_fleet import ReplicaPlan, SimulatedFleet
from kvproxy.bench.fleet_simulation.simulated_routers import (
    ProductRouter,
    SimulatedRouter,
    document_key,
    plain_routers,
)
from kvproxy.bench.fleet_simulation.simulation_figures import (
    decision_figures,
    recovery,
    run_figures,
    windowed,
)
from kvproxy.bench.machine import machine
from kvproxy.routing.best_possible import best_possible_hits
from kvproxy.routing.rendezvous import in_order
from kvproxy.routing.replica_set import ReplicaSet
from kvproxy.routing.routed_prompt import RoutingPolicy

WARM_UP = 0.4
"""The share of a run's time whose requests fill the caches and are not counted."""
ROUTERS = ("round_robin", "least_load", "sticky_sessions", "kvproxy")
_SAMPLED_DOCUMENTS = 20_000
_REPLICA, _TRAFFIC, _POLICY = ReplicaPlan(), TrafficPlan(), RoutingPolicy()


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """Sizes of fleets, and what does not change with them."""

    sizes: tuple[int, ...] = (2, 10, 100, 1000)
    requests_per_replica: int = 300
    least_requests: int = 20_000
    offered: float = 0.8
    """Prompt tokens that arrive, as a share of what the replicas could prefill if nothing were ever cached."""
    leaving: float = 0.1
    replica: ReplicaPlan = _REPLICA
    traffic: TrafficPlan = _TRAFFIC
    policy: RoutingPolicy = _POLICY

    def replicas(self, size: int) -> ReplicaPlan:
        """Return the replicas of a fleet."""
        return dataclasses.replace(self.replica, replicas=size)

    def turns(self, size: int) -> list[TurnArrival]:
        """Return the traffic of a fleet: its rate is set so that ``offered`` holds, by the prompts' own mean."""
        requests = max(self.least_requests, size * self.requests_per_replica)
        plan = dataclasses.replace(
            self.traffic, requests=requests, per_second=1.0, block_tokens=self.replica.block_tokens
        )
        drawn = make_traffic(dataclasses.replace(plan, requests=2000))
        mean = sum(turn.prompt_tokens for turn in drawn) / len(drawn)
        rate = self.offered * size * self.replica.prefill_tokens_per_s / mean
        return make_traffic(dataclasses.replace(plan, per_second=rate))


def bench_fleet_simulation(
    plan: SimulationPlan, *, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Simulate each size; the result can be written as JSON. Equal plans give equal figures, but for process times.

    Example: ``bench_fleet_simulation(SimulationPlan(sizes=(2, 10), requests_per_replica=100))``
    """
    say = progress or (lambda *_: None)
    fleets = []
    for done, size in enumerate(plan.sizes):
        say(done, len(plan.sizes))
        fleets.append(_fleet(plan, size))
    say(len(plan.sizes), len(plan.sizes))
    return {"machine": machine(), "plan": _plan_record(plan), "fleets": fleets}


def _fleet(plan: SimulationPlan, size: int) -> dict[str, Any]:
    turns = plan.turns(size)
    begin = turns[-1].at * WARM_UP
    routers: dict[str, Any] = {}
    undisturbed: list[dict[str, float]] = []
    for name in ROUTERS:
        replicas = plan.replicas(size).replica_set()
        router = _router(name, replicas, plan)
        fleet = SimulatedFleet(plan.replicas(size), replicas, router)
        fleet.run(turns)
        fleet.finish()
        routers[name] = run_figures(fleet.served, begin, plan.replicas(size))
        if isinstance(router, ProductRouter):
            routers[name] |= _product_figures(router)
            undisturbed = windowed(fleet.served, turns[-1].at)
    best, one_cache = _bounds(plan, size, turns, begin)
    for row in routers.values():
        row["of_best"] = round(row["hit_rate"] / best, 4)
    return {
        "replicas": size,
        "requests": len(turns),
        "seconds": round(turns[-1].at, 1),
        "documents_read": len({turn.document for turn in turns if turn.document >= 0}),
        "mean_prompt_tokens": round(sum(turn.prompt_tokens for turn in turns) / len(turns)),
        "best_hit_rate": round(best, 4),
        "one_cache_hit_rate": round(one_cache, 4),
        "routers": routers,
        "leaving": _leaving(plan, size, turns, undisturbed) if size >= 10 else None,
    }


def _router(name: str, replicas: ReplicaSet, plan: SimulationPlan) -> SimulatedRouter:
    if name == "kvproxy":
        return ProductRouter(replicas, plan.policy, plan.replica.block_tokens)
    return plain_routers(replicas)[name]


def _product_figures(router: ProductRouter) -> dict[str, Any]:
    size = router.index.size
    return {
        "decision": decision_figures(router.decision_ns),
        "events_us_per_request": round(sum(router.event_ns) / 1e3 / len(router.event_ns), 1),
        "index_blocks": size.blocks,
        "index_bytes": size.table_bytes,
    }


def _bounds(
    plan: SimulationPlan, size: int, turns: Sequence[TurnArrival], begin: float
) -> tuple[float, float]:
    """Return two hit rates of one cache as large as all replicas' together, of the requests that are counted: the best
    possible, and that of the replicas' own way of giving up blocks."""
    block = plan.replica.block_tokens
    capacity = size * (plan.replica.cache_tokens // block)
    parts = [turn.parts() for turn in turns]
    cache = SimulatedCache(capacity)
    counted = [number for number, turn in enumerate(turns) if turn.at >= begin]
    tokens = sum(turns[number].prompt_tokens for number in counted)
    best, found = best_possible_hits(parts, capacity), [cache.read(read).hit_blocks for read in parts]
    rates = [sum(hits[n] for n in counted) * block / tokens for hits in (best, found)]
    return rates[0], rates[1]


def _leaving(
    plan: SimulationPlan,
    size: int,
    turns: Sequence[TurnArrival],
    undisturbed: Sequence[dict[str, float]],
) -> dict[str, Any]:
    """Run kvproxy's routing on the same traffic once more; at half time every tenth replica breaks, and none comes
    back."""
    replicas = plan.replicas(size).replica_set()
    router = ProductRouter(replicas, plan.policy, plan.replica.block_tokens)
    fleet = SimulatedFleet(plan.replicas(size), replicas, router)
    half = turns[-1].at / 2
    gone = replicas.names[:: max(1, round(1 / plan.leaving))]
    fleet.run([turn for turn in turns if turn.at < half])
    homes = _homes(replicas, plan)
    lost = _lost_documents(fleet.parts(), gone)
    fleet.lose(gone, half)
    moved = [was for was, now in zip(homes, _homes(replicas, plan), strict=True) if was != now]
    fleet.run([turn for turn in turns if turn.at >= half])
    fleet.finish()
    windows = windowed(fleet.served, turns[-1].at)
    return {
        "left": len(gone),
        "placed_again": fleet.placed_again,
        "moved_keys": round(len(moved) / len(homes), 4),
        "moved_keys_of_others": sum(was not in gone for was in moved),
        **lost,
        **recovery(windows, undisturbed),
        "windows": windows,
        "undisturbed": list(undisturbed),
    }


def _homes(replicas: ReplicaSet, plan: SimulationPlan) -> list[str]:
    sampled = range(0, plan.traffic.documents, max(1, plan.traffic.documents // _SAMPLED_DOCUMENTS))
    keys = (document_key(document) for document in sampled)
    return [replicas.names[next(in_order(replicas.ring.scores(key), replicas.up))] for key in keys]


def _lost_documents(caches: dict[str, dict[int, int]], gone: Sequence[str]) -> dict[str, int]:
    """Count the documents in any cache, and those of which only the leaving replicas hold something."""
    kept = {part for name, parts in caches.items() if name not in gone for part in parts if part >= 0}
    there = {part for parts in caches.values() for part in parts if part >= 0}
    return {"documents_resident": len(there), "documents_lost": len(there - kept)}


def _plan_record(plan: SimulationPlan) -> dict[str, Any]:
    record = dataclasses.asdict(plan)
    for derived in ("requests", "per_second", "block_tokens"):
        del record["traffic"][derived]
    del record["replica"]["replicas"]
    return record | {"sizes": list(plan.sizes), "warm_up": WARM_UP}
