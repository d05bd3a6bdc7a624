from collections import Counter

from kvproxy.routing.baselines import RoundRobin, least_loaded, sticky_replica
from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_set import ReplicaSet


def test_round_robin_passes_over_those_that_are_down() -> None:
    replicas, robin = (
        ReplicaSet([ReplicaLoad("a"), ReplicaLoad("b", up=False), ReplicaLoad("c")]),
        RoundRobin(),
    )
    assert [robin.choose(replicas) for _ in range(4)] == ["a", "c", "a", "c"]
    replicas.set_up("a", False)
    replicas.set_up("c", False)
    assert robin.choose(replicas) == "" == robin.choose(ReplicaSet())


def test_sessions_stick_and_spread() -> None:
    replicas = ReplicaSet(ReplicaLoad(f"r{i}", queued_tokens=1e9 * i) for i in range(4))
    homes = [sticky_replica(f"s{i}", replicas) for i in range(400)]
    assert homes == [sticky_replica(f"s{i}", replicas) for i in range(400)]
    assert all(60 < n < 140 for n in Counter(homes).values())
    assert sticky_replica("s", ReplicaSet()) == ""


def test_least_load_is_in_seconds() -> None:
    loads = [
        ReplicaLoad("a", queued_tokens=100),
        ReplicaLoad("b", queued_tokens=500, prefill_tokens_per_s=9000),
    ]
    assert least_loaded(ReplicaSet(loads)) == "b"
    assert least_loaded(ReplicaSet([ReplicaLoad("a", up=False)])) == ""
