import copy

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core.miss_causes import MissCause
from kvproxy.routing.rendezvous import in_order
from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_routing import choose_replica
from kvproxy.routing.replica_set import ReplicaSet
from kvproxy.routing.routed_prompt import RoutedPrompt, RoutingPolicy

POLICY = RoutingPolicy()
LOADS = st.builds(
    ReplicaLoad,
    name=st.text("abcdefgh", min_size=1, max_size=3),
    weight=st.sampled_from([0.5, 1.0, 4.0]),
    queued_tokens=st.floats(0, 1e5),
    running=st.integers(0, 300),
    prefill_tokens_per_s=st.floats(10, 1e5),
    up=st.booleans(),
    capacity=st.integers(1, 256),
)
FLEETS = st.lists(LOADS, max_size=12, unique_by=lambda load: load.name)


def fleet(n: int = 4, **queued: float) -> ReplicaSet:
    return ReplicaSet(ReplicaLoad(f"r{i}", queued_tokens=queued.get(f"r{i}", 0.0)) for i in range(n))


def ring(key: str, replicas: ReplicaSet) -> list[str]:
    return [replicas.names[at] for at in in_order(replicas.ring.scores(key), replicas.up)]


def work(load: ReplicaLoad) -> float:
    running = load.running / load.capacity * POLICY.full_batch_s
    waiting = max(0, load.running + 1 - load.capacity) / load.capacity * POLICY.answer_s
    return load.queued_tokens + (running + waiting) * load.prefill_tokens_per_s


@given(FLEETS, st.data())
def test_one_that_is_down_is_never_chosen(loads: list[ReplicaLoad], data: st.DataObject) -> None:
    names = [load.name for load in loads]
    present = data.draw(st.dictionaries(st.sampled_from([*names, "gone"]), st.integers(0, 9000)))
    avoid = data.draw(st.sets(st.sampled_from([*names, "gone"])))
    got = choose_replica("k", 8000, present, ReplicaSet(loads), POLICY, avoid)
    allowed = {load.name for load in loads if load.up} - avoid
    if not allowed:
        assert got == RoutedPrompt("", cause=MissCause.ENGINE_FAILED)
        return
    assert {got.replica, *got.order} <= allowed and got.replica not in got.order
    assert len(got.order) == min(POLICY.retries, len(allowed) - 1) == len(set(got.order))
    assert got.expected_tokens == min(8000, present.get(got.replica, 0))


@given(FLEETS, st.text(max_size=5), st.integers(1, 50_000), st.floats(1, 4))
def test_bounded_load_holds(loads: list[ReplicaLoad], key: str, tokens: int, bound: float) -> None:
    up = [load for load in loads if load.up]
    if not up:
        return
    replicas = ReplicaSet(loads)
    chosen = choose_replica(key, tokens, {}, replicas, RoutingPolicy(bounded_load=bound)).replica
    share = bound * (sum(map(work, up)) + tokens) / sum(load.weight for load in up)
    within = [
        name
        for name in ring(key, replicas)
        if work(replicas.load(name)) <= share * replicas.load(name).weight
    ]
    assert chosen == within[0]


@given(FLEETS, st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 9000)))
def test_equal_inputs_give_equal_choices_and_nothing_is_changed(
    loads: list[ReplicaLoad], present: dict[str, int]
) -> None:
    replicas, before = ReplicaSet(loads), copy.deepcopy(present)
    first = choose_replica("k", 8000, present, replicas, POLICY)
    assert (
        choose_replica("k", 8000, dict(reversed(present.items())), ReplicaSet(loads[::-1]), POLICY) == first
    )
    assert replicas.loads() == {load.name: load for load in loads} and present == before


@given(st.integers(2, 30), st.data())
def test_one_that_leaves_moves_its_own_keys_only(n: int, data: st.DataObject) -> None:
    gone = f"r{data.draw(st.integers(0, n - 1))}"
    replicas, rest = fleet(n), fleet(n)
    rest.remove(gone)
    for key in map(str, range(40)):
        was = choose_replica(key, 100, {}, replicas, POLICY)
        now = choose_replica(key, 100, {}, rest, POLICY)
        assert now.replica == (was.order[0] if was.replica == gone else was.replica)


def test_residency_overrules_the_ring() -> None:
    replicas = fleet()
    last = ring("k", replicas)[-1]
    got = choose_replica("k", 1000, {last: 896}, replicas, POLICY)
    assert (got.replica, got.expected_tokens, got.cause) == (last, 896, None)
    assert got.order == tuple(ring("k", replicas)[:3])


def test_without_residency_the_ring_decides() -> None:
    replicas = fleet()
    got = choose_replica("k", 1000, {}, replicas, POLICY)
    assert [got.replica, *got.order] == ring("k", replicas)
    assert (got.expected_tokens, got.cause) == (0, MissCause.NOT_ON_REPLICA)


def test_a_system_prompt_that_all_others_have_does_not_scatter_documents() -> None:
    replicas = fleet(20)
    home, *others = ring("k", replicas)
    got = choose_replica("k", 10_000, dict.fromkeys(others, 400), replicas, POLICY)
    assert got.replica == home


def test_readers_take_the_holder_with_the_least_to_do() -> None:
    replicas = fleet(r1=300.0, r2=200.0)
    got = choose_replica("k", 1000, {"r1": 900, "r2": 900}, replicas, POLICY)
    assert got.replica == "r2" and got.order[0] == "r1"
    got = choose_replica("k", 1000, {"r1": 900, "r2": 700}, replicas, POLICY)
    assert got.replica == "r1"  # 100 + 300 to do, against 300 + 200


def test_equal_holders_are_taken_in_the_order_of_the_ring() -> None:
    replicas = fleet(9)
    for key in map(str, range(20)):
        got = choose_replica(key, 1000, dict.fromkeys(replicas.names, 900), replicas, POLICY)
        assert [got.replica, *got.order] == ring(key, replicas)[:4]


def test_an_overloaded_holder_spills_along_the_ring() -> None:
    replicas = fleet()
    holder, *others = ring("k", replicas)
    replicas.sent(holder, 9000)
    got = choose_replica("k", 1000, {holder: 900}, replicas, POLICY)
    assert (got.replica, got.expected_tokens, got.cause) == (others[0], 0, MissCause.SPILLED_FOR_LOAD)
    assert got.order[0] == holder
    both = choose_replica("k", 1000, {holder: 900, others[0]: 900}, replicas, POLICY)
    assert (both.replica, both.cause) == (others[0], None)


def test_waiting_for_a_holder_is_cheaper_than_computing_again() -> None:
    replicas = fleet(r0=1000.0)
    # 1.1 s there; elsewhere 1 s, of which 0.9 s count eightfold.
    assert choose_replica("k", 1000, {"r0": 900}, replicas, POLICY).replica == "r0"
    eager = RoutingPolicy(recompute_price=1.0)
    assert choose_replica("k", 1000, {"r0": 900}, replicas, eager).cause is MissCause.SPILLED_FOR_LOAD


def test_readers_who_wait_share_the_price_of_a_copy() -> None:
    replicas = fleet(r0=3000.0)
    chosen = [
        choose_replica("k", 1000, {"r0": 900}, replicas, POLICY, waiting=readers).replica != "r0"
        for readers in (0, 1, 2, 3, 9)
    ]
    assert chosen == [False, False, False, True, True]  # 3.1 s there; elsewhere 1 s, and 6.3 s by all of them


def test_a_holder_within_the_bound_is_kept() -> None:
    replicas = fleet(2, r0=50_000.0, r1=35_000.0)
    eager = RoutingPolicy(recompute_price=1.0)
    assert choose_replica("k", 1000, {"r0": 900}, replicas, eager).replica == "r0"
    tight = RoutingPolicy(recompute_price=1.0, bounded_load=1.0)
    assert choose_replica("k", 1000, {"r0": 900}, replicas, tight).replica == "r1"


def test_a_replica_at_its_capacity_costs_a_wait() -> None:
    replicas = ReplicaSet([ReplicaLoad("a", capacity=2, running=3), ReplicaLoad("b")])
    assert choose_replica("k", 1000, {"a": 900, "b": 800}, replicas, POLICY).replica == "b"


def test_a_faster_replica_is_worth_a_longer_queue() -> None:
    loads = [
        ReplicaLoad("a", queued_tokens=400),
        ReplicaLoad("b", queued_tokens=2000, prefill_tokens_per_s=9000),
    ]
    got = choose_replica("k", 1000, {"a": 500, "b": 500}, ReplicaSet(loads), RoutingPolicy(bounded_load=100))
    assert got.replica == "b"


def test_holders_that_are_down_do_not_count_as_spilled() -> None:
    replicas = fleet()
    replicas.set_up("r1", False)
    got = choose_replica("k", 1000, {"r1": 900}, replicas, POLICY)
    assert got.cause is MissCause.NOT_ON_REPLICA and got.replica != "r1"


def test_a_thousand_holders() -> None:
    replicas = fleet(1000)
    replicas.queued[:] = np.arange(1000, 0, -1)
    got = choose_replica("k", 1000, dict.fromkeys(replicas.names, 900), replicas, POLICY)
    assert (got.replica, *got.order) == ("r999", "r998", "r997", "r996")
