"""Order of admission and preemption between tenants: decisions, without an engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import PAGE_TOKENS, Sampling
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.occupancy import Occupancy
from kvproxy.engine.decode.detokenizer import Detokenizer, Vocabulary
from kvproxy.engine.loop.admission import Admission
from kvproxy.engine.loop.fairness.compute_service import ComputeService
from kvproxy.engine.loop.fairness.tenant_shares import TenantShares, next_in_line
from kvproxy.engine.loop.fairness.waiting_line import WaitingLine
from kvproxy.engine.loop.sequence import Job, Phase, Sequence

PLACES, PAGES = 6, 60


class Maker:
    """Sequences that arrive one after another."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary, self._made = vocabulary, 0

    def __call__(
        self, tenant: str, pages: int = 1, phase: Phase = Phase.DECODE, patience_s: float = 0.0
    ) -> Sequence:
        job = Job("x", (1,), Sampling(), 9, "a", ("a",), 0, tenant, patience_s=patience_s)
        sequence = Sequence(job, lambda event: None, Detokenizer(self._vocabulary))
        self._made += 1
        sequence.phase, sequence.reserved, sequence.arrived_at = phase, pages, self._made
        return sequence

    def several(self, tenant: str, count: int, **fields: Any) -> list[Sequence]:
        return [self(tenant, **fields) for _ in range(count)]


@pytest.fixture
def new(vocabulary: Vocabulary) -> Maker:
    return Maker(vocabulary)


def shares(running: list[Sequence], waiting: list[Sequence]) -> TenantShares:
    return TenantShares.of(running, waiting, places=PLACES, pages=PAGES)


def test_the_next_is_the_first_of_the_tenant_that_holds_least(new: Maker) -> None:
    running = [*new.several("a", 3), *new.several("b", 2, pages=20), new("c")]
    waiting = [new("a"), new("b"), new("c"), new("c")]
    for expected in (waiting[2], waiting[0], waiting[1]):  # b has few sequences, and most of the pages
        found = next_in_line(waiting, shares(running, waiting), lambda t: 0.0)
        assert found is expected
        waiting = [s for s in waiting if s.tenant != expected.tenant]
    assert next_in_line([], shares(running, []), lambda t: 0.0) is None


def test_among_equals_it_is_the_one_that_had_less_and_not_the_one_that_came_first(new: Maker) -> None:
    waiting = [*new.several("a", 5), new("b")]
    used_s: Callable[[str | None], float] = {"a": 2.0, "b": 1.0, None: inf}.__getitem__
    assert next_in_line(waiting, shares([], waiting), used_s) is waiting[5]
    idler = new("a", patience_s=inf)
    assert next_in_line([idler, *waiting], shares([], waiting), used_s) is waiting[5]


def test_the_newest_sequence_of_the_largest_tenant_gives_its_place_and_never_the_oldest(new: Maker) -> None:
    running = [*new.several("a", 4), *new.several("b", 2)]
    one = new("c")
    assert shares(running, [one]).place_giver(one) is running[3]
    running[3].phase = Phase.LOADING
    assert shares(running, [one]).place_giver(one) is running[2]
    for s in running[1:4]:
        s.phase = Phase.PERSISTING
    assert shares(running, [one]).place_giver(one) is None, "b has its share, and a's oldest stays"


def test_a_tenant_with_its_share_waits(new: Maker) -> None:
    running, more = [*new.several("a", 3), *new.several("b", 3)], new("b")
    assert shares(running, [more]).place_giver(more) is None
    alone = new.several("a", 6)
    assert shares(alone, [more := new("a")]).place_giver(more) is None
    background = new("c", patience_s=inf)
    assert shares(alone, [background]).place_giver(background) is None


def test_pages_are_given_by_the_newest_and_only_where_they_are_enough(new: Maker) -> None:
    running, one = new.several("a", 5, pages=12), new("b")
    seen = shares(running, [one])
    assert seen.page_givers(one, needed=20, short=20) == [running[4], running[3]]
    assert seen.page_givers(one, needed=20, short=1) == [running[4]]
    assert seen.page_givers(one, needed=55, short=55) == [], "a's oldest keeps its pages"
    more = new("b", pages=20)
    assert shares([*running, more], [one]).page_givers(one, needed=20, short=20) == []


def test_pages_from_the_cache_count_for_no_share(new: Maker) -> None:
    hit = new("a", pages=2)
    hit.pages, hit.cached = list(range(30)), 29 * PAGE_TOKENS
    assert hit.own_pages == 3


def test_a_stream_grows_at_the_cost_of_a_tenant_above_its_share(new: Maker) -> None:
    first, big, last = new("a", pages=30), new("a", pages=20), new("b", pages=9)
    assert shares([first, big, last], []).outgrown(last) is big
    assert shares([first, big, last], []).outgrown(first) is big
    assert shares([first, last], []).outgrown(last) is None, "of two single ones age decides"
    assert shares([first, big], []).outgrown(big) is None, "and so it does within a tenant"


class _Gate:
    """Admits whatever there are pages for."""

    def __init__(self) -> None:
        self.running: list[Sequence] = []

    def occupancy(self) -> Occupancy:
        return Occupancy(PAGES, PAGES, 0, 0, 0)  # reserved pages that are not taken count as free

    @property
    def pool(self) -> Any:
        return self.occupancy()

    def try_admit(self, seq: Sequence, running: list[Sequence]) -> bool:
        seq.needed = seq.prefill_end
        if sum(s.reserved for s in running) + seq.needed > PAGES:
            return False
        seq.reserved, seq.phase = seq.needed, Phase.DECODE
        return True


@given(seed=st.integers(0, 2**32), tenants=st.integers(1, 4))
def test_no_sequence_waits_for_pages_beyond_other_tenants_share_and_all_end(
    vocabulary: Vocabulary, seed: int, tenants: int
) -> None:
    dice, new, gate, ended = random.Random(seed), Maker(vocabulary), _Gate(), set[Sequence]()

    def give_way(seq: Sequence) -> None:
        gate.running.remove(seq)
        seq.phase, seq.reserved = Phase.WAITING, 0
        line.requeue(seq)

    def end(seq: Sequence, error: Exception) -> None:
        raise AssertionError(error)

    line = WaitingLine(
        cast(KVCache, gate), cast(Admission, gate), ComputeService(), gate.running, PLACES, end, give_way
    )
    all_ = [new(f"t{dice.randrange(tenants)}", phase=Phase.WAITING) for _ in range(40)]
    for seq in all_:
        seq.reserved, seq.prefill_end = 0, dice.choice((1, 2, 5, 9, 40))
    coming, steps = list(all_), 0
    while len(ended) < len(all_):
        for _ in range(dice.randrange(5)):
            if coming:
                line.waiting.append(coming.pop(0))
        line.admit()
        line.admit()  # what gave way in the first step may come back in the second
        assert len(gate.running) <= PLACES and sum(s.reserved for s in gate.running) <= PAGES
        seen = line.shares()
        first = next_in_line(line.waiting, seen, lambda t: 0.0)
        if first is not None:
            short = first.prefill_end - (PAGES - sum(s.reserved for s in gate.running))
            no_place = len(gate.running) == PLACES and seen.place_giver(first) is None
            no_pages = short > 0 and not seen.page_givers(first, first.prefill_end, short)
            assert no_place or no_pages
        for seq in dice.sample(gate.running, min(len(gate.running), dice.randrange(3))):
            gate.running.remove(seq)
            seq.phase, seq.reserved = Phase.ENDED, 0
            ended.add(seq)
        steps += 1
        assert steps < 1000
