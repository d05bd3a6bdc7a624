from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.engine.cache.load_or_recompute import WORTH_S, PageChoice, pages_worth_taking

choices = st.lists(
    st.builds(
        PageChoice,
        load_s=st.sampled_from([0.0, 0.001, 0.05, 0.4, 3.0]),
        compute_s=st.sampled_from([0.001, 0.05, 0.4, 3.0]),
    ),
    max_size=12,
)


@given(choices, st.integers(0, 12))
def test_no_other_number_of_pages_saves_more_than_what_is_too_little_to_count(
    pages: list[PageChoice], least: int
) -> None:
    least = min(least, len(pages))
    loads = [0.0, *accumulate(p.load_s for p in pages)]
    computes = [0.0, *accumulate(p.compute_s for p in pages)]
    seconds = [loads[n] + computes[-1] - computes[n] for n in range(len(pages) + 1)]
    taken = pages_worth_taking(pages, least)
    assert least <= taken <= len(pages)
    assert seconds[taken] <= min(seconds[least:]) + WORTH_S + 1e-9
    if taken < len(pages):
        assert seconds[taken] < seconds[-1] - WORTH_S + 1e-9


def test_a_fast_disk_loads_all_and_a_slow_store_none() -> None:
    assert pages_worth_taking([PageChoice(0.003, 0.3)] * 30) == 30
    assert pages_worth_taking([PageChoice(0.5, 0.3)] * 30) == 0
    assert pages_worth_taking([PageChoice(0.5, 0.3)] * 30, least=7) == 7


def test_pages_in_memory_are_taken_before_dear_ones_are_left() -> None:
    assert pages_worth_taking([PageChoice(0.0, 0.3)] * 3 + [PageChoice(0.9, 0.3)] * 3) == 3


def test_deep_pages_are_loaded_though_those_before_them_are_dear() -> None:
    pages = [PageChoice(0.4, 0.3), *[PageChoice(0.4, 0.9)] * 5]
    assert pages_worth_taking(pages) == 6


def test_milliseconds_turn_no_hit_into_a_miss() -> None:
    assert pages_worth_taking([PageChoice(0.005, 0.001)] * 4) == 4
