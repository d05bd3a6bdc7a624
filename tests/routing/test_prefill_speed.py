import random

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.routing.prefill_speed import PrefillSample, PrefillSpeeds


def test_speeds_begin_with_the_fleets() -> None:
    speeds = PrefillSpeeds(start=700.0)
    assert speeds.speed("a") == speeds.fleet_speed() == 700.0
    for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 10.0)):
        speeds.observe(name, PrefillSample(10_000, seconds))
    assert speeds.speed("new") == 5000.0 and speeds.speed("a") == 10_000.0
    assert speeds.samples() == {"a": 1, "b": 1, "c": 1}


def test_the_queue_is_taken_off() -> None:
    speeds = PrefillSpeeds()
    assert speeds.observe("a", PrefillSample(8000, 3.0, queue_s=1.0)) == 4000.0


def test_a_wrong_queue_does_not_make_prefill_free() -> None:
    speeds = PrefillSpeeds()
    speeds.observe("a", PrefillSample(1000, 1.0))
    assert speeds.observe("a", PrefillSample(1000, 1.0, queue_s=5.0)) < 2000.0


def test_short_prefills_tell_nothing() -> None:
    speeds = PrefillSpeeds(start=500.0)
    assert speeds.observe("a", PrefillSample(63, 5.0)) == 500.0
    assert speeds.observe("a", PrefillSample(0, 5.0)) == 500.0
    assert speeds.observe("a", PrefillSample(9000, 0.0)) == 500.0


def test_one_stall_moves_it_little_and_a_slower_machine_is_followed() -> None:
    speeds, source = PrefillSpeeds(), random.Random(1)
    for _ in range(30):
        speeds.observe("a", PrefillSample(4000, 0.4 * source.uniform(0.8, 1.2)))
    assert 9000 < speeds.speed("a") < 11_000
    assert speeds.observe("a", PrefillSample(4000, 60.0)) > 7000
    for _ in range(25):
        speeds.observe("a", PrefillSample(4000, 4.0))
    assert 900 < speeds.speed("a") < 1300


def test_a_replica_that_left_is_forgotten() -> None:
    speeds = PrefillSpeeds(start=500.0)
    speeds.observe("a", PrefillSample(4000, 1.0))
    speeds.forget("a")
    speeds.forget("a")
    assert speeds.speed("a") == 500.0


@given(st.lists(st.builds(PrefillSample, st.integers(0, 10**6), st.floats(0, 1e4), st.floats(0, 1e4))))
def test_speeds_are_always_above_zero(samples: list[PrefillSample]) -> None:
    speeds = PrefillSpeeds()
    for sample in samples:
        assert 0 < speeds.observe("a", sample) < float("inf")
