from kvproxy.bench.fleet_simulation.fleet_traffic import TurnArrival
from kvproxy.bench.fleet_simulation.simulated_cache import BlockSpan, CacheChange
from kvproxy.bench.fleet_simulation.simulated_fleet import ReplicaPlan
from kvproxy.bench.fleet_simulation.simulated_routers import (
    ProductRouter,
    kv_events,
    plain_routers,
    prompt_hashes,
)
from kvproxy.residency.kv_events import BlocksRemoved, BlocksStored
from kvproxy.routing.routed_prompt import RoutingPolicy

PLAN = ReplicaPlan(replicas=5)
READ = TurnArrival(0.0, 3, 7, 1300, 100, document_blocks=10, read_blocks=0, stored_blocks=0)
LATER = TurnArrival(9.0, 3, 7, 1700, 100, document_blocks=10, read_blocks=3, stored_blocks=4)
TALK = TurnArrival(0.0, 4, -1, 300, 100, document_blocks=0, read_blocks=2, stored_blocks=3)


def router() -> ProductRouter:
    return ProductRouter(PLAN.replica_set(), RoutingPolicy(), PLAN.block_tokens)


def test_a_chain_is_the_document_then_the_session() -> None:
    assert prompt_hashes(LATER)[:10] == prompt_hashes(READ) and len(prompt_hashes(LATER)) == 13
    assert len(set(prompt_hashes(LATER)) | set(prompt_hashes(TALK))) == 15


def test_events_tell_what_was_stored_and_removed() -> None:
    change = CacheChange(0, (BlockSpan(7, 0, 10),), (BlockSpan(8, 3, 5), BlockSpan(9, 0, 1)))
    stored, removed = kv_events(change)
    assert isinstance(stored, BlocksStored) and stored.hashes == prompt_hashes(READ)
    assert isinstance(removed, BlocksRemoved) and len(removed.hashes) == 3
    assert kv_events(CacheChange(4, (), ())) == []


def test_the_product_expects_what_is_pending_then_what_is_there() -> None:
    product = router()
    first = product.place(READ)
    assert first.expected_tokens == 0
    assert product.place(READ).expected_tokens == 1280  # the first one is computing it
    product.first_token(READ, first, CacheChange(0, (BlockSpan(7, 0, 10), BlockSpan(-4, 0, 3)), ()))
    later = product.place(LATER)
    assert (later.replica, later.expected_tokens, later.spilled) == (first.replica, 13 * 128, False)
    assert product.event_ns and product.decision_ns


def test_what_is_lost_with_a_replica_is_not_expected() -> None:
    product = router()
    first = product.place(READ)
    product.first_token(READ, first, CacheChange(0, (BlockSpan(7, 0, 10),), ()))
    product.left(first.replica)
    assert product.place(READ).expected_tokens == 0
    product.failed(READ, first)
    talk = product.place(TALK)
    product.first_token(TALK, talk, CacheChange(0, (BlockSpan(-5, 0, 3),), ()))
    assert product.place(TALK).expected_tokens == 256


def test_plain_routers_expect_nothing() -> None:
    for name, plain in plain_routers(PLAN.replica_set()).items():
        placed = plain.place(READ)
        plain.first_token(READ, placed, CacheChange(0, (), ()))
        plain.failed(READ, placed)
        plain.left(placed.replica)
        assert placed.replica.startswith("replica-") and placed.expected_tokens == 0, name
