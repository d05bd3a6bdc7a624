from __future__ import annotations

import pytest

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_costs import FORGOTTEN_S, LEAST_TIMED, TRUSTED, UNIFORM, PageCosts, PageWork

WORK = PageWork.of(layers=36, hidden=2560, heads=32, kv_heads=8, head_dim=128, intermediate=9728)


def test_the_work_of_a_page_is_that_of_its_matrix_products() -> None:
    weights = 36 * (2560 * 4096 * 2 + 2560 * 1024 * 2 + 3 * 2560 * 9728)
    assert WORK.linear == 2 * weights * PAGE_TOKENS
    scores_and_values = 2 * 2 * PAGE_TOKENS * PAGE_TOKENS * 128
    assert WORK.attention == 36 * 32 * scores_and_values


def test_pages_add_up_to_their_span() -> None:
    pages = sum(WORK.page(i, PAGE_TOKENS) for i in range(10))
    assert WORK.span(0, 10 * PAGE_TOKENS) == pytest.approx(pages)
    assert WORK.span(0, 300) + WORK.span(300, 900) == pytest.approx(WORK.span(0, 900))


def test_a_deeper_page_costs_more_by_what_attention_adds() -> None:
    costs = PageCosts(WORK, 1000)
    steps = {costs.compute_s(i + 1) - costs.compute_s(i) for i in range(4)}
    assert max(steps) == pytest.approx(min(steps)) and min(steps) > 0
    assert costs.compute_s(3, PAGE_TOKENS // 2) == pytest.approx(costs.compute_s(3) / 2)


def test_measurements_replace_assumptions_and_the_fastest_counts() -> None:
    costs = PageCosts(WORK, 10**6)
    costs.computed(0, PAGE_TOKENS, 50.0)
    slow = costs.compute_s(0)
    assert slow == pytest.approx(50.0)
    costs.computed(0, PAGE_TOKENS, 2.0)
    costs.computed(0, PAGE_TOKENS, 30.0)
    assert costs.compute_s(0) == pytest.approx(2.0)
    costs.computed(0, LEAST_TIMED - 1, 1e-6)
    costs.computed(0, PAGE_TOKENS, 0.0)
    assert costs.compute_s(0) == pytest.approx(2.0), "too short to tell"
    for seconds in (0.5, 0.1, 0.3, 0.4):
        costs.loaded(seconds)
    assert costs.load_s == 0.1


def timed(costs: PageCosts, seconds: float, *, far: bool = False) -> None:
    for _ in range(TRUSTED):
        costs.loaded(seconds, far=far)


def test_what_is_slower_to_read_than_to_compute_is_not_worth_spilling() -> None:
    costs = PageCosts(WORK, 10**6)
    costs.computed(0, PAGE_TOKENS, 1.0)
    timed(costs, 0.3)
    assert costs.worth_spilling(0, PAGE_TOKENS)
    assert not costs.worth_spilling(0, PAGE_TOKENS // 4)
    assert costs.again_s(0, PAGE_TOKENS, on_disk=True) == 0.3
    assert costs.again_s(0, PAGE_TOKENS, on_disk=False) == pytest.approx(1.0)
    assert costs.again_s(0, 64, on_disk=True) == pytest.approx(0.25)
    spilling = PageCosts(WORK, 10**6, spills=True)
    spilling.computed(0, PAGE_TOKENS, 1.0)
    timed(spilling, 0.3)
    assert spilling.again_s(0, PAGE_TOKENS, on_disk=False) == 0.3


def test_a_tier_that_was_slow_once_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("kvproxy.engine.cache.page_costs.time.monotonic", lambda: now[0])
    costs = PageCosts(UNIFORM, page_bytes=10**6)
    assumed = costs.load_s_of(far=True)
    costs.loaded(30.0, far=True)
    assert costs.load_s_of(far=True) == assumed, "one slow read says little"
    timed(costs, 30.0, far=True)
    assert costs.load_s_of(far=True) == 30.0 and costs.load_s < 30.0
    now[0] += FORGOTTEN_S + 1
    assert costs.load_s_of(far=True) == assumed
    costs.loaded(assumed / 2, far=True)
    now[0] += FORGOTTEN_S + 1
    assert costs.load_s_of(far=True) == assumed / 2, "what was better than assumed is no bad moment"
