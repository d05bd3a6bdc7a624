import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.routing.replica_health import HealthPolicy, HealthState, ReplicaHealth, backoff_s

POLICY = HealthPolicy(first_backoff_s=1, most_backoff_s=8, jitter=0.25, drain_s=5)
UP = ReplicaHealth()


def down(at: float = 10.0) -> ReplicaHealth:
    return UP.unreachable(at, POLICY, 0.5, "connection refused")


def test_one_failure_makes_it_suspect_and_a_success_takes_it_back() -> None:
    suspect = UP.failed(10, POLICY, 0.5, "reset")
    assert (suspect.state, suspect.failures, suspect.last_error) == (HealthState.SUSPECT, 1, "reset")
    assert not suspect.takes_requests and suspect.last_resort and suspect.probe_due(10)
    assert suspect.succeeded(11) == ReplicaHealth(HealthState.UP, 11)


def test_a_second_failure_takes_it_down_with_a_back_off() -> None:
    gone = UP.timed_out(10, POLICY, 0.5).timed_out(20, POLICY, 0.5)
    assert (gone.state, gone.since, gone.failures, gone.last_error) == (HealthState.DOWN, 20, 2, "timeout")
    assert gone.probe_at == 21 and not gone.probe_due(20.9) and gone.probe_due(21)
    assert not gone.takes_requests and not gone.last_resort


def test_a_refused_connection_takes_it_down_at_once() -> None:
    assert down().state is HealthState.DOWN and down().probe_at == 11


def test_probes_that_fail_double_the_back_off_to_its_most() -> None:
    health, now, waits = down(), 10.0, []
    for _ in range(6):
        assert health.probe_at is not None
        waits.append(health.probe_at - now)
        now = health.probe_at
        health = health.probing(now)
        assert health.state is HealthState.PROBING and not health.probe_due(now + 100)
        health = health.probed(now, POLICY, 0.5, well=False)
    assert waits == [1, 1, 2, 4, 8, 8]


def test_a_probe_that_goes_well_takes_it_back_with_a_clean_record() -> None:
    back = down().probing(11).probed(12, POLICY, 0.5, well=True)
    assert back == ReplicaHealth(HealthState.UP, 12) and back.takes_requests


def test_what_ends_while_it_is_down_changes_nothing() -> None:
    assert down().succeeded(12) == down().failed(12, POLICY, 0.5, "reset") == down()
    assert down().unreachable(12, POLICY, 0.5, "refused") == down()
    assert down().probed(12, POLICY, 0.5, well=True) == down()


def test_a_503_drains_it_for_as_long_as_it_says() -> None:
    assert UP.refused(10, POLICY).probe_at == 15
    draining = UP.refused(10, POLICY, retry_after=2)
    assert draining.state is HealthState.DRAINING and draining.probe_at == 12 and not draining.takes_requests
    assert UP.refused(10, POLICY, retry_after=1e9).probe_at == 610
    assert draining.probing(12).probed(12, POLICY, 0.5, well=True).takes_requests


def test_an_operators_drain_stays_until_it_is_resumed() -> None:
    held = UP.drained(10)
    for after in (
        held.succeeded(11),
        held.failed(11, POLICY, 0.5, "reset"),
        held.refused(11, POLICY),
        held.unreachable(11, POLICY, 0.5, "refused"),
        held.probed(11, POLICY, 0.5, well=True),
    ):
        assert after == held
    assert not held.probe_due(1e9)
    assert held.resumed(20).probe_due(20) and not held.resumed(20).takes_requests
    assert UP.resumed(20) == UP


def test_successes_keep_the_time_since_when_it_is_up() -> None:
    assert ReplicaHealth(since=3).succeeded(50).since == 3


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_back_offs_stay_within_their_bounds(doublings: int, chance: float) -> None:
    assert 0.75 <= backoff_s(doublings, POLICY, chance) <= 8 * 1.25


@given(st.lists(st.sampled_from("sftuxbgw"), max_size=30))
def test_it_takes_requests_only_where_it_is_up_and_always_has_a_way_back(steps: list[str]) -> None:
    health = UP
    for now, step in enumerate(steps):
        match step:
            case "s":
                health = health.succeeded(now)
            case "f":
                health = health.failed(now, POLICY, 0.1, "reset")
            case "t":
                health = health.timed_out(now, POLICY, 0.9)
            case "u":
                health = health.unreachable(now, POLICY, 0.5, "refused")
            case "x":
                health = health.refused(now, POLICY)
            case "g" | "b" if health.probe_due(now):
                health = health.probing(now).probed(now, POLICY, 0.5, well=step == "g")
            case _:
                pass
        assert health.takes_requests == (health.state is HealthState.UP)
        assert health.takes_requests == (health.probe_at is None)


@pytest.mark.parametrize("chance, wait", [(0.0, 0.75), (0.5, 1.0)])
def test_chance_spreads_probes(chance: float, wait: float) -> None:
    assert backoff_s(0, POLICY, chance) == wait
