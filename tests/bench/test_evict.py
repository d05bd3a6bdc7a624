from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from kvproxy.bench.engine.cache_replay import POLICIES, Visit, replay
from kvproxy.bench.evict import bench_evict, print_evict
from kvproxy.bench.optimum import most_saved
from kvproxy.bench.trace import TracePlan, TraceStep, make_trace
from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_costs import PageWork

WORK = PageWork(linear=1.0, attention=0.02)
PLAN = TracePlan(requests=300, documents=25, median_tokens=1200, longest=6000, open_conversations=6)


def test_a_trace_says_what_is_asked_again_and_when() -> None:
    steps = make_trace(PLAN)
    assert steps == make_trace(PLAN) != make_trace(replace(PLAN, seed=1))
    for number, step in enumerate(steps):
        tokens = step.visit.token_ids
        if step.before >= 0:
            earlier = steps[step.before].visit
            assert earlier.next_use == number > step.before
            assert tokens[: step.reuse] == earlier.token_ids[: step.reuse]
        else:
            assert step.reuse == 0
    firsts = {s.visit.token_ids[:PAGE_TOKENS] for s in steps if s.before < 0}
    assert len(firsts) == sum(s.before < 0 for s in steps), "subjects share no page"


def test_every_policy_saves_what_memory_without_end_does_when_it_has_it() -> None:
    steps = make_trace(PLAN)
    repeated = sum(WORK.span(0, s.reuse) for s in steps)
    for policy in POLICIES:
        got = replay([s.visit for s in steps], 5000, WORK, policy)
        assert got.saved_work == pytest.approx(repeated, rel=0.01) and got.evictions == 0
    assert most_saved(steps, 5000, WORK) == pytest.approx(repeated, rel=1e-6)


@pytest.mark.parametrize("pages", [30, 80])
def test_no_policy_exceeds_the_bound_and_ours_beats_recency(pages: int) -> None:
    steps = make_trace(PLAN)
    bound = most_saved(steps, pages, WORK)
    saved = {p: replay([s.visit for s in steps], pages, WORK, p).saved_work for p in POLICIES}
    assert max(saved.values()) <= bound
    assert saved["farthest"] > 0.9 * bound, "the bound is near what can be done"
    assert saved["farthest"] > saved["value"] > 1.05 * saved["lru"]


def test_requests_larger_than_the_memory_do_not_lower_the_bound() -> None:
    # They are refused, so what is kept stays kept.
    steps, pages = make_trace(PLAN), 10
    assert max(len(s.visit.token_ids) for s in steps) > pages * PAGE_TOKENS
    saved = replay([s.visit for s in steps], pages, WORK, "farthest").saved_work
    assert 0 < saved <= most_saved(steps, pages, WORK)


def test_the_bound_holds_for_the_best_of_all_choices() -> None:
    """Small enough to try which pages are kept over every gap."""
    source = random.Random(3)
    for _ in range(20):
        order = [source.randrange(4) for _ in range(9)]
        sizes = [source.choice([1, 2]) for _ in range(4)]
        steps: list[TraceStep] = []
        last: dict[int, int] = {}
        for number, chosen in enumerate(order):
            ids = tuple((chosen + 1) * 10_000 + i for i in range(sizes[chosen] * PAGE_TOKENS))
            before = last.get(chosen, -1)
            steps.append(TraceStep(Visit("q", (*ids, 7), len(ids)), len(ids) if before >= 0 else 0, before))
            last[chosen] = number
        room = 4
        gaps = [(s.before, n, s.reuse) for n, s in enumerate(steps) if s.before >= 0]
        best = 0.0
        for kept in itertools.product([False, True], repeat=len(gaps)):
            fits = all(
                sum(
                    size // PAGE_TOKENS for (a, b, size), k in zip(gaps, kept, strict=True) if k and a < t < b
                )
                <= room - -(-len(steps[t].visit.token_ids) // PAGE_TOKENS)
                for t in range(len(steps))
            )
            if fits:
                best = max(best, sum(WORK.span(0, g[2]) for g, k in zip(gaps, kept, strict=True) if k))
        assert most_saved(steps, room, WORK) >= best - 1e-9


def test_a_result_prints(capsys: pytest.CaptureFixture[str]) -> None:
    print_evict(bench_evict(replace(PLAN, requests=60)))
    out = capsys.readouterr().out
    assert out.count("Belady") == 3 and "by weak duality" in out
