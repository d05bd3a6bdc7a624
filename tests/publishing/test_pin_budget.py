from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import Kept, KeptPage
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.publishing.pin_budget import PinAllowance, PinLimit, beginning, pages_of, plan_pins


def kept(*keys: int) -> Kept:
    pages = tuple(KeptPage(bytes([key]) * 32, 256) for key in keys)
    return Kept("f", tuple(range(256 * len(keys))), pages, 1, 0.0)


def holding(*framings: Kept) -> DocumentHolding:
    return DocumentHolding("public", tuple(KeptFraming(f"f{i}", k) for i, k in enumerate(framings)), "o")


def test_a_page_that_framings_share_costs_once() -> None:
    planned = plan_pins(holding(kept(1, 2, 3), kept(1, 2, 4)), PinAllowance(4, 9), frozenset())
    assert [(p.pin.asked, p.pin.pinned, p.pin.limit) for p in planned] == [(3, 3, None), (3, 3, None)]


def test_the_first_pages_are_pinned_and_the_smaller_budget_is_named() -> None:
    for allowance, limit in (
        (PinAllowance(2, 9), PinLimit.TENANT_BUDGET),
        (PinAllowance(9, 2), PinLimit.PIN_BUDGET),
        (PinAllowance(2, 2), PinLimit.PIN_BUDGET),
    ):
        first, second = plan_pins(holding(kept(1, 2, 3), kept(4, 5)), allowance, frozenset())
        assert (first.pin.pinned, first.pin.limit) == (2, limit)
        assert first.kept.pages == kept(1, 2).pages and len(first.kept.token_ids) == 512
        assert (second.pin.pinned, second.pin.limit) == (0, limit)


def test_pages_that_the_tenant_has_pinned_cost_nothing_more() -> None:
    (planned,) = plan_pins(holding(kept(1, 2, 3)), PinAllowance(1, 1), pages_of("public", kept(1, 2)))
    assert planned.pin.limit is None
    (planned,) = plan_pins(holding(kept(1, 2, 3)), PinAllowance(1, 1), pages_of("private", kept(1, 2)))
    assert planned.pin.pinned == 1, "in another scope they are other pages"


def test_a_beginning_is_of_whole_pages_or_all() -> None:
    whole = Kept("f", tuple(range(300)), (KeptPage(b"a" * 32, 256), KeptPage(b"b" * 32, 44)), 1, 0.0)
    assert beginning(whole, 2) is whole
    assert beginning(whole, 1).token_ids == tuple(range(256))
    assert beginning(whole, 0).token_ids == ()


@given(
    st.lists(st.lists(st.integers(0, 12), unique=True, max_size=6), max_size=4),
    st.integers(-2, 15),
    st.integers(-2, 15),
)
def test_no_plan_takes_more_than_there_is(framings: list[list[int]], tenant: int, everybody: int) -> None:
    wanted = holding(*(kept(*keys) for keys in framings))
    planned = plan_pins(wanted, PinAllowance(tenant, everybody), frozenset())
    taken = frozenset().union(*(pages_of("public", p.kept) for p in planned)) if planned else frozenset()
    assert len(taken) <= max(0, min(tenant, everybody))
    for plan in planned:
        assert len(plan.kept.pages) == plan.pin.pinned
        assert (plan.pin.limit is None) == (plan.pin.pinned == plan.pin.asked)


def test_the_room_is_never_below_zero() -> None:
    assert PinAllowance(-3, 5).pages == PinAllowance(5, -3).pages == 0
