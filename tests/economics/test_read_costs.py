"""The formulas, against numbers that were worked out by hand."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import NANO
from kvproxy.economics import read_costs as costs


def test_prices() -> None:
    assert costs.prefill_nano(3774, 5 * NANO) == 18_870_000
    assert costs.egress_nano(540_000_000, 90_000_000) == 48_600_000
    assert costs.mb_hour_nano(23_000_000) * 1000 * 730 == 23_000_000
    assert costs.machine_nano(Fraction(90), NANO) == NANO // 40
    assert costs.break_even_bytes_per_token(5 * NANO, 90_000_000) == Fraction(500_000, 9)
    assert (
        costs.break_even_bytes_per_token(5 * NANO, 0) is costs.needed_part(Fraction(1), Fraction(0)) is None
    )


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_at_break_even_both_ways_cost_the_same(once: int, cold: int, reuse: int) -> None:
    reads = costs.break_even_reads(Fraction(once), Fraction(cold), Fraction(reuse))
    if cold <= reuse:
        assert reads is None
    else:
        assert reads is not None and reads * cold == once + reads * reuse


def test_measured_seconds_are_as_written() -> None:
    assert costs.seconds(0.1) == Fraction(1, 10)
