import pytest

from kvproxy.bench.fleet_simulation.fleet_traffic import TrafficPlan, TurnArrival, make_traffic
from kvproxy.bench.fleet_simulation.simulated_fleet import ReplicaPlan, SimulatedFleet
from kvproxy.bench.fleet_simulation.simulated_routers import ProductRouter, plain_routers, prompt_hashes
from kvproxy.routing.routed_prompt import RoutingPolicy

PLAN = ReplicaPlan(replicas=4, cache_tokens=200_000)


def turn(at: float, document: int, session: int) -> TurnArrival:
    return TurnArrival(at, session, document, 1300, 100, document_blocks=10, read_blocks=0, stored_blocks=0)


def product_fleet() -> tuple[SimulatedFleet, ProductRouter]:
    replicas = PLAN.replica_set()
    router = ProductRouter(replicas, RoutingPolicy(), PLAN.block_tokens)
    return SimulatedFleet(PLAN, replicas, router), router


def test_a_prefill_takes_its_time_and_a_reader_behind_it_waits_and_hits() -> None:
    fleet, _ = product_fleet()
    fleet.run([turn(0.0, 1, 1), turn(0.05, 1, 2), turn(5.0, 1, 3)])
    fleet.finish()
    first, second, third = fleet.served
    assert (first.hit_tokens, second.hit_tokens, third.hit_tokens) == (0, 1280, 1280)
    assert first.first_token_s == pytest.approx(0.15)
    assert second.first_token_s == pytest.approx(0.1 + 0.022) and third.first_token_s == pytest.approx(0.022)
    assert len({one.replica for one in fleet.served}) == 1


def test_the_index_holds_what_the_caches_hold() -> None:
    fleet, router = product_fleet()
    turns = make_traffic(TrafficPlan(requests=800, per_second=4.0, documents=300))
    fleet.run(turns)
    fleet.finish()
    caches = fleet.parts()
    assert router.index.size.blocks <= sum(sum(parts.values()) for parts in caches.values())
    for one in turns[::20]:
        found = router.index.longest(prompt_hashes(one)[: one.document_blocks])
        held = {name: min(one.document_blocks, parts.get(one.document, 0)) for name, parts in caches.items()}
        if one.document_blocks:
            assert dict(found) == {name: blocks for name, blocks in held.items() if blocks}


def test_what_waits_on_a_replica_that_breaks_is_served_elsewhere() -> None:
    fleet, router = product_fleet()
    fleet.run([turn(0.0, 1, 1), turn(0.01, 1, 2)])
    broken = router.place(turn(0.01, 1, 9)).replica
    fleet.lose([broken], 0.1)
    fleet.run([turn(0.2, 1, 3)])
    fleet.finish()
    assert fleet.placed_again == 2 and len(fleet.served) == 3
    assert broken not in {one.replica for one in fleet.served}
    assert max(one.first_token_s for one in fleet.served) > 0.2  # its clock went on


@pytest.mark.parametrize("name", ["round_robin", "least_load", "sticky_sessions"])
def test_other_routers_serve_everything(name: str) -> None:
    replicas = PLAN.replica_set()
    fleet = SimulatedFleet(PLAN, replicas, plain_routers(replicas)[name])
    turns = make_traffic(TrafficPlan(requests=300, per_second=4.0, documents=50))
    fleet.run(turns)
    fleet.finish()
    assert len(fleet.served) == 300 and len({one.replica for one in fleet.served}) == 4
    assert not replicas.queued.any() and not replicas.running.any()
