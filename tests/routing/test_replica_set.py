import pytest

from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_set import ReplicaSet


def two() -> ReplicaSet:
    return ReplicaSet(
        [ReplicaLoad("a", weight=2.0), ReplicaLoad("b", queued_tokens=50.0, running=1, up=False)]
    )


def test_loads_come_back_as_they_were_put() -> None:
    replicas = two()
    assert replicas.loads() == {
        "a": ReplicaLoad("a", weight=2.0),
        "b": ReplicaLoad("b", queued_tokens=50.0, running=1, up=False),
    }
    changed = ReplicaLoad("a", 3.0, 10.0, 2, 500.0, False, 8)
    replicas.put(changed)
    replicas.put(ReplicaLoad("c"))
    assert replicas.load("a") == changed and replicas.names == ("a", "b", "c")
    assert replicas.load("b").queued_tokens == 50.0


def test_one_that_left_is_gone_and_the_rest_keep_their_loads() -> None:
    replicas = two()
    replicas.remove("a")
    replicas.remove("a")
    assert replicas.names == ("b",) and "a" not in replicas and len(replicas) == 1
    assert replicas.load("b").running == 1 and replicas.position("b") == 0
    with pytest.raises(KeyError):
        replicas.load("a")


def test_a_request_is_counted_from_sending_to_its_end() -> None:
    replicas = two()
    replicas.sent("a", 900)
    replicas.sent("a", 100)
    assert replicas.load("a").queued_tokens == 1000
    replicas.prefilled("a", 900)
    assert (replicas.load("a").queued_tokens, replicas.load("a").running) == (100, 1)
    replicas.withdrawn("a", 100)
    replicas.ended("a")
    replicas.ended("a")
    assert (replicas.load("a").queued_tokens, replicas.load("a").running) == (0, 0)


def test_the_ends_of_requests_to_one_that_left_are_ignored() -> None:
    replicas = two()
    replicas.remove("a")
    replicas.prefilled("a", 5)
    replicas.withdrawn("a", 5)
    replicas.ended("a")
    assert replicas.names == ("b",)


def test_speed_and_state() -> None:
    replicas = two()
    replicas.set_up("b", True)
    replicas.set_rate("b", 123.0)
    assert replicas.load("b").up and replicas.load("b").prefill_tokens_per_s == 123.0
    with pytest.raises(ValueError, match="speed"):
        replicas.set_rate("b", 0.0)
    with pytest.raises(ValueError, match="above 0"):
        ReplicaLoad("a", weight=0.0)


def test_positions_leave_out_unknown_names() -> None:
    assert two().positions(["b", "x", "a"]).tolist() == [1, 0]
