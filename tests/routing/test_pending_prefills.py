from kvproxy.routing.pending_prefills import PendingPrefills
from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_routing import choose_replica
from kvproxy.routing.replica_set import ReplicaSet
from kvproxy.routing.routed_prompt import RoutingPolicy


def test_second_reader_waits_where_the_first_is_being_computed() -> None:
    replicas, pending = ReplicaSet(ReplicaLoad(f"r{i}") for i in range(4)), PendingPrefills()
    first = choose_replica("k", 1000, pending.present("k", {}), replicas, RoutingPolicy())
    pending.begin("k", first.replica, 900)
    replicas.sent(first.replica, 1000)
    second = choose_replica("k", 1000, pending.present("k", {}), replicas, RoutingPolicy())
    assert (second.replica, second.expected_tokens) == (first.replica, 900)
    unaware = choose_replica("k", 1000, {}, replicas, RoutingPolicy())
    assert unaware.replica != first.replica


def test_what_has_ended_is_not_present() -> None:
    pending = PendingPrefills()
    pending.begin("k", "a", 500)
    pending.begin("k", "a", 900)
    pending.begin("k", "b", 100)
    assert pending.present("k", {"a": 700, "c": 3}) == {"a": 900, "b": 100, "c": 3}
    pending.end("k", "a", 900)
    pending.end("k", "a", 900)
    assert pending.present("k", {"a": 700}) == {"a": 700, "b": 100}
    pending.end("k", "a", 500)
    pending.end("k", "b", 100)
    assert len(pending) == 0 and pending.present("k", {}) == {}


def test_a_replica_that_is_down_computes_nothing() -> None:
    pending = PendingPrefills()
    pending.begin("k", "a", 500)
    pending.begin("k", "b", 500)
    pending.begin("l", "a", 500)
    pending.forget("a")
    assert pending.present("k", {}) == {"b": 500} and len(pending) == 1
