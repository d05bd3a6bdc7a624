from hypothesis import given
from hypothesis import strategies as st

from kvproxy.routing.copies_wanted import CopyPolicy, copies_wanted, copy_targets
from kvproxy.routing.rendezvous import in_order
from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_set import ReplicaSet

POLICY = CopyPolicy(least=1, most=4, reads_per_minute=60)


def test_copies_follow_reads_within_their_bounds() -> None:
    assert [copies_wanted(reads, POLICY) for reads in (0, 59, 60, 150, 200, 9000)] == [1, 1, 2, 3, 4, 4]


def test_a_copy_is_given_up_only_well_below_its_due() -> None:
    assert copies_wanted(110, POLICY, held=3) == 3
    assert copies_wanted(90, POLICY, held=3) == 2
    assert copies_wanted(0, POLICY, held=3) == 1


@given(st.floats(0, 1e6), st.integers(0, 50))
def test_slack_makes_no_new_copies(reads: float, held: int) -> None:
    assert (
        copies_wanted(reads, POLICY)
        <= copies_wanted(reads, POLICY, held)
        <= max(held, copies_wanted(reads, POLICY))
    )
    assert copies_wanted(reads, POLICY, held) <= POLICY.most


def test_targets_are_the_next_of_the_ring_that_are_up_and_lack_it() -> None:
    replicas = ReplicaSet(ReplicaLoad(f"r{i}") for i in range(6))
    order = [replicas.names[at] for at in in_order(replicas.ring.scores("k"))]
    assert copy_targets("k", (), 2, replicas) == tuple(order[:2])
    assert copy_targets("k", (order[0],), 3, replicas) == tuple(order[1:3])
    assert copy_targets("k", order, 3, replicas) == ()
    replicas.set_up(order[0], False)
    assert copy_targets("k", (order[0], order[2]), 2, replicas) == (order[1],)
    assert copy_targets("k", ("gone",), 99, replicas) == tuple(order[1:])
