"""The arithmetic of charges: exact sums, no text reader above cold, and a hold that no charge exceeds."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import NANO, Charge, DocumentTokens, MeteredTokens, format_nano
from kvproxy.tariffs import (
    MOST_PRICE,
    DocumentTerms,
    ModelPrices,
    Tariff,
    charge,
    cold_charge,
    most_it_may_cost,
    publishing_charge,
    storage_charge,
)
from kvproxy.tariffs.tariff_file import read_tariff_file

PRICES = ModelPrices(input=5 * NANO, output=15 * NANO, publishing=5 * NANO, storage_mb_hour=20_000)
TARIFF = Tariff.of("USD", 0, {"m": PRICES})

ppm = st.integers(0, 10**6)
price = st.one_of(st.integers(0, 10), st.integers(0, 20 * NANO), st.just(MOST_PRICE))
ANY = st.booleans()
count = st.one_of(st.integers(0, 5), st.integers(0, 200_000))


@st.composite
def a_tariff(draw: st.DrawFn) -> Tariff:
    computed = draw(price)
    prices = ModelPrices(input=computed, cached_input=draw(st.integers(0, computed)), output=draw(price))
    return Tariff.of("USD", 0, {"m": prices})


some_terms = st.one_of(
    st.builds(DocumentTerms, publisher_ppm=ppm, text_readers=st.sampled_from(["discount", "full_price"])),
    st.builds(
        DocumentTerms,
        kind=st.just("share"),
        share_ppm=ppm,
        publisher_ppm=ppm,
        text_readers=st.sampled_from(["discount", "full_price"]),
    ),
    st.builds(DocumentTerms, kind=st.just("fixed"), nano_per_1000=price, publisher_ppm=ppm),
)


def read_of(tokens: int, terms: DocumentTerms, by_reference: bool, granted: bool) -> DocumentTokens:
    return DocumentTokens("d@1", "0" * 64, "p", tokens, terms.id, by_reference, "g" if granted else None)


@st.composite
def a_request(
    draw: st.DrawFn, by_reference: st.SearchStrategy[bool] = ANY
) -> tuple[MeteredTokens, dict[str, DocumentTerms]]:
    terms = draw(st.lists(some_terms, max_size=3))
    reads = [read_of(draw(count), one, draw(by_reference), draw(st.booleans())) for one in terms]
    cached = sum(read.tokens for read in reads) + draw(count)
    metered = MeteredTokens("m", cached + draw(count), cached, draw(count), tuple(reads))
    return metered, {one.id: one for one in terms}


def charges(made: Charge) -> list[int]:
    return [made.cost, made.cold_cost, made.host_share] + [
        n for one in made.documents for n in (one.price, one.publisher_share)
    ]


@given(a_tariff(), a_request())
def test_the_parts_sum_to_the_cost_exactly(
    tariff: Tariff, request: tuple[MeteredTokens, dict[str, DocumentTerms]]
) -> None:
    made = charge(request[0], tariff, request[1])
    assert made.cost == made.host_share + sum(one.publisher_share for one in made.documents)
    assert all(type(n) is int and n >= 0 for n in charges(made))
    assert made.saved == made.cold_cost - made.cost
    assert all(one.publisher_share <= one.price for one in made.documents)


@given(a_tariff(), a_request(by_reference=st.just(False)))
def test_who_sent_the_text_never_pays_more_than_cold(
    tariff: Tariff, request: tuple[MeteredTokens, dict[str, DocumentTerms]]
) -> None:
    made = charge(request[0], tariff, request[1])
    assert made.cost <= made.cold_cost == cold_charge(request[0], tariff).cost


@given(a_tariff(), a_request(), st.data())
def test_more_tokens_never_cost_less(
    tariff: Tariff, request: tuple[MeteredTokens, dict[str, DocumentTerms]], data: st.DataObject
) -> None:
    metered, terms = request
    more = [
        replace(metered, prompt_tokens=metered.prompt_tokens + data.draw(count)),
        replace(metered, completion_tokens=metered.completion_tokens + data.draw(count)),
    ]
    for i, read in enumerate(metered.documents):
        n = data.draw(count)
        longer = (*metered.documents[:i], replace(read, tokens=read.tokens + n), *metered.documents[i + 1 :])
        more.append(
            replace(
                metered,
                prompt_tokens=metered.prompt_tokens + n,
                cached_tokens=metered.cached_tokens + n,
                documents=longer,
            )
        )
    was = charge(metered, tariff, terms)
    for one in more:
        now = charge(one, tariff, terms)
        assert now.cost >= was.cost and now.cold_cost >= was.cold_cost


@given(a_tariff(), a_request(), st.integers(1, 4), count, st.data())
def test_the_hold_covers_every_charge_of_the_request(
    tariff: Tariff,
    request: tuple[MeteredTokens, dict[str, DocumentTerms]],
    choices: int,
    max_tokens: int,
    data: st.DataObject,
) -> None:
    offered, terms = request
    hold = most_it_may_cost(
        "m", offered.prompt_tokens, max_tokens, tariff, terms, documents=offered.documents, choices=choices
    )
    reads = tuple(
        replace(read, tokens=data.draw(st.integers(0, read.tokens)))
        for read in offered.documents
        if data.draw(st.booleans())
    )
    cached = sum(read.tokens for read in reads)
    metered = replace(
        offered,
        cached_tokens=cached + data.draw(st.integers(0, offered.prompt_tokens - cached)),
        completion_tokens=data.draw(st.integers(0, max_tokens * choices)),
        documents=reads,
    )
    assert charge(metered, tariff, terms).cost <= hold
    assert cold_charge(metered, tariff).cost <= hold


@given(a_tariff(), a_request())
def test_the_hold_is_no_more_than_the_dearest_charge(
    tariff: Tariff, request: tuple[MeteredTokens, dict[str, DocumentTerms]]
) -> None:
    """Of each document it is worst that all or none of it is read, so one of these combinations costs the hold."""
    metered, terms = request
    hold = most_it_may_cost(
        "m", metered.prompt_tokens, metered.completion_tokens, tariff, terms, documents=metered.documents
    )
    costs = []
    for chosen in range(2 ** len(metered.documents)):
        reads = tuple(read for i, read in enumerate(metered.documents) if chosen >> i & 1)
        tokens = sum(read.tokens for read in reads)
        costs.append(charge(replace(metered, cached_tokens=tokens, documents=reads), tariff, terms).cost)
    assert hold - 1 <= max(costs) <= hold


@given(a_tariff(), st.lists(a_request(), min_size=1, max_size=3))
def test_the_holds_of_prompts_cover_the_charge_for_all_of_them(
    tariff: Tariff, requests: list[tuple[MeteredTokens, dict[str, DocumentTerms]]]
) -> None:
    hold = sum(
        most_it_may_cost(
            "m", one.prompt_tokens, one.completion_tokens, tariff, terms, documents=one.documents
        )
        for one, terms in requests
    )
    together = MeteredTokens(
        "m",
        sum(one.prompt_tokens for one, _ in requests),
        sum(one.cached_tokens for one, _ in requests),
        sum(one.completion_tokens for one, _ in requests),
        tuple(read for one, _ in requests for read in one.documents),
    )
    all_terms = {key: one for _, terms in requests for key, one in terms.items()}
    assert charge(together, tariff, all_terms).cost <= hold


@given(a_tariff(), a_request())
def test_the_cost_is_the_exact_fraction_rounded_once(
    tariff: Tariff, request: tuple[MeteredTokens, dict[str, DocumentTerms]]
) -> None:
    """The same arithmetic in fractions, written apart: a receipt's reader would compute it so."""
    metered, terms = request
    prices = tariff.models["m"]
    exact = Fraction(
        (metered.prompt_tokens - metered.cached_tokens) * prices.input
        + (metered.cached_tokens - metered.document_tokens) * prices.cached_input
        + metered.completion_tokens * prices.output,
        10**6,
    )
    for read in metered.documents:
        one = terms[read.terms]
        saving = Fraction(read.tokens * (prices.input - prices.cached_input), 10**6)
        own = {
            "free": Fraction(0),
            "share": saving * one.share_ppm / 10**6,
            "fixed": Fraction(read.tokens * one.nano_per_1000, 1000),
        }[one.kind]
        if not read.by_reference:
            own = min(own, saving)
            if one.text_readers == "full_price" and read.grant is None:
                own = saving
        exact += Fraction(read.tokens * prices.cached_input, 10**6) + own
    assert abs(charge(metered, tariff, terms).cost - exact) <= Fraction(1, 2)


def test_a_tenth_is_what_a_cached_token_costs_by_default() -> None:
    own = charge(MeteredTokens("m", 1000, 1000, 0), TARIFF, {})
    assert (own.cost, own.cold_cost, own.host_share, own.documents) == (500_000, 5_000_000, 500_000, ())


@pytest.mark.parametrize(
    ("terms", "by_reference", "grant", "price", "share"),
    [
        (DocumentTerms(), False, None, 500_000, 0),
        (DocumentTerms(kind="share", share_ppm=400_000), False, None, 2_300_000, 1_800_000),
        (
            DocumentTerms(kind="share", share_ppm=400_000, publisher_ppm=750_000),
            False,
            None,
            2_300_000,
            1_350_000,
        ),
        (DocumentTerms(kind="fixed", nano_per_1000=1_000_000), True, None, 1_500_000, 1_000_000),
        (DocumentTerms(kind="fixed", nano_per_1000=9_000_000), True, None, 9_500_000, 9_000_000),
        (DocumentTerms(kind="fixed", nano_per_1000=9_000_000), False, None, 5_000_000, 4_500_000),
        (DocumentTerms(text_readers="full_price"), False, None, 5_000_000, 4_500_000),
        (DocumentTerms(text_readers="full_price"), False, "g", 500_000, 0),
        (DocumentTerms(text_readers="full_price"), True, None, 500_000, 0),
    ],
)
def test_a_document_of_a_thousand_tokens(
    terms: DocumentTerms, by_reference: bool, grant: str | None, price: int, share: int
) -> None:
    read = DocumentTokens("d@1", "0" * 64, "p", 1000, terms.id, by_reference, grant)
    made = charge(MeteredTokens("m", 1000, 1000, 0, (read,)), TARIFF, {terms.id: terms})
    assert (made.documents[0].price, made.documents[0].publisher_share) == (price, share)
    assert (made.cost, made.host_share) == (price, price - share)


def test_publishing_and_storage_are_the_hosts() -> None:
    published = publishing_charge("m", 3774, TARIFF)
    assert (published.cost, published.host_share) == (18_870_000, 18_870_000)
    kept = storage_charge("m", 540_000_000 * 3_600_000, TARIFF)
    assert kept.cost == kept.host_share == 540 * 20_000
    assert storage_charge("m", 1, TARIFF).cost == 0


@pytest.mark.parametrize(
    ("metered", "words"),
    [
        (MeteredTokens("other", 1, 0, 0), "no prices of 'other'"),
        (MeteredTokens("m", 1, 2, 0), "more were cached"),
        (MeteredTokens("m", 1, 0, -1), "below 0"),
        (MeteredTokens("m", 9, 1, 0, (read_of(2, DocumentTerms(), False, False),)), "more tokens are of"),
        (
            MeteredTokens("m", 9, 2, 0, (replace(read_of(2, DocumentTerms(), False, False), terms="t"),)),
            "t of",
        ),
    ],
)
def test_what_cannot_be_priced_is_refused(metered: MeteredTokens, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        charge(metered, TARIFF, {DocumentTerms().id: DocumentTerms()})


def test_the_example_of_the_page_is_computed_so() -> None:
    """docs/pricing.md works an example out by hand, with the tariff of examples/tariff.yaml."""
    root = Path(__file__).parents[2]
    tariff = read_tariff_file(root / "examples" / "tariff.yaml").entries[0].tariff
    terms = {tariff.documents.id: tariff.documents}
    read = DocumentTokens("handbook@1", "0" * 64, "acme", 3774, tariff.documents.id)
    made = charge(MeteredTokens("smollm2-135m", 3800, 3774, 100, (read,)), tariff, terms)
    hold = most_it_may_cost("smollm2-135m", 3800, 256, tariff, terms, [read])
    (document,) = made.documents
    page = (root / "docs" / "pricing.md").read_text(encoding="utf-8")
    assert f"| **cost** | | | **{format_nano(made.cost)}** |" in page
    for nano in (made.cold_cost, made.saved, document.publisher_share, made.host_share, hold):
        assert re.search(rf"(\| |: ){re.escape(format_nano(nano))}( \||,)", page), format_nano(nano)
    assert document.price == 1_887_000 + 5_094_900
