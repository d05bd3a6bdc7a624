from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.charging.charge_requests import Offer, Order, OrderedPrompt
from kvproxy.charging.meter_tokens import meter_prompt, meter_upstream, sum_metered
from kvproxy.charging.priced_order import price_order, quote_basis
from kvproxy.core import Caller, DocumentRef, Hit, Miss, MissReason, Span
from kvproxy.events import Usage
from kvproxy.tariffs import DocumentTerms, Tariff
from tests.charging.prices import PRICES, TARIFF, price

ALICE = Caller("alice", "tenant:alice")
BOOK = Span(DocumentRef("book", 3), 0, 40, publisher="acme", by_reference=True)
DEAR = DocumentTerms(kind="fixed", nano_per_1000=5_000_000)


def order(*prompts: OrderedPrompt) -> Order:
    return Order("r1", ALICE, "fake", prompts, Offer())


def test_a_free_order_has_no_preview_and_costs_nothing() -> None:
    for tariff in (None, Tariff.of("USD", 0, {"other": PRICES})):
        priced = price_order(order(OrderedPrompt(100, 10, (BOOK,))), tariff, lambda span: DEAR)
        assert (priced.nano, priced.preview, priced.tariff) == (0, None, None)
        charge = priced.charge(meter_prompt("fake", (BOOK,), Usage(100, 5, 60), priced.terms), "USD")
        assert (charge.cost, charge.cold_cost, charge.documents, charge.tariff) == (0, 0, (), "")


@given(
    st.lists(st.tuples(st.integers(40, 200), st.integers(0, 50), st.integers(1, 3)), min_size=1, max_size=4),
    st.data(),
    st.booleans(),
)
def test_nothing_costs_more_than_is_held(
    sizes: list[tuple[int, int, int]], data: st.DataObject, by_reference: bool
) -> None:
    span = replace(BOOK, by_reference=by_reference)
    priced = price_order(
        order(*(OrderedPrompt(size, new, (span,), choices) for size, new, choices in sizes)),
        TARIFF,
        lambda _: DEAR,
    )
    used = [
        meter_prompt(
            "fake",
            (span,),
            Usage(size, data.draw(st.integers(0, new * choices)), data.draw(st.integers(0, size))),
            priced.terms,
        )
        for size, new, choices in sizes
    ]
    assert priced.charge(sum_metered("fake", used), "USD").cost <= priced.nano


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_an_upstream_reports_beyond_the_order_is_cut(prompt: int, cached: int, new: int) -> None:
    priced = price_order(order(OrderedPrompt(100, 10)), TARIFF, lambda _: DEAR)
    bounded = priced.bounded(meter_upstream("fake", Usage(prompt, new, cached)))
    assert priced.charge(bounded, "USD").cost <= priced.nano == price(100, 0, 10)
    if prompt <= 100 and new <= 10:
        assert bounded == meter_upstream("fake", Usage(prompt, new, cached))


def test_a_quote_says_what_would_be_cached_now() -> None:
    hit = OrderedPrompt(100, 10, (BOOK,), expected=lambda: Hit(60, BOOK.document))
    miss = replace(hit, expected=lambda: Miss(MissReason.NOT_RESIDENT, BOOK.document))
    priced = price_order(order(hit), TARIFF, lambda _: DEAR)
    basis = quote_basis(priced, TARIFF)
    assert (basis.decision, basis.reason, basis.cached_tokens, basis.most) == ("hit", "", 60, priced.nano)
    assert [read.tokens for read in basis.documents] == [40]
    assert basis.price.cold_cost == price(100, 0, 0)
    basis = quote_basis(price_order(order(miss), TARIFF, lambda _: DEAR), TARIFF)
    assert (basis.decision, basis.reason, basis.cached_tokens) == ("miss", "not-resident", 0)
    assert [(read.document, read.tokens) for read in basis.documents] == [("book@3", 0)]
    assert basis.price.cost == basis.price.cold_cost
