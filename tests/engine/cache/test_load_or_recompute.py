from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.load_or_recompute import WORTH_S, PageChoice, pages_worth_taking, worth_taking
from kvproxy.engine.cache.page_costs import UNIFORM, PageCosts
from kvproxy.engine.cache.prefix_index import Node, PrefixMatch
from tests.engine.cache.test_page_costs import timed

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


def chain(pages: int, in_memory: int) -> PrefixMatch:
    nodes = [Node("a", b"", b"", None, i, tuple(range(PAGE_TOKENS))) for i in range(pages)]
    for number, node in enumerate(nodes[:in_memory]):
        node.page = number + 1
    return PrefixMatch(tuple(nodes), pages * PAGE_TOKENS - 56)


def test_a_slow_object_store_is_left_alone_and_the_disk_read() -> None:
    costs = PageCosts(UNIFORM, page_bytes=2**20)
    timed(costs, 0.001)
    timed(costs, 2.0, far=True)
    found = chain(6, in_memory=2)
    assert worth_taking(found, costs, lambda node: False, 0) is found
    taken = worth_taking(found, costs, lambda node: True, 0)
    assert (len(taken.nodes), taken.tokens, taken.dearer) == (2, 2 * PAGE_TOKENS, True)
    promised = worth_taking(found, costs, lambda node: True, found.tokens)
    assert promised is found, "a hit that was promised is kept, whatever it costs"
    assert worth_taking(chain(3, in_memory=3), costs, lambda node: True, 0).tokens == 3 * PAGE_TOKENS - 56


def test_after_one_fast_answer_it_is_asked_again() -> None:
    costs = PageCosts(UNIFORM, page_bytes=2**20)
    timed(costs, 2.0, far=True)
    assert worth_taking(chain(20, 0), costs, lambda node: True, 0).tokens == 0
    costs.loaded(0.0005, far=True)
    assert worth_taking(chain(20, 0), costs, lambda node: True, 0).tokens == 20 * PAGE_TOKENS - 56
