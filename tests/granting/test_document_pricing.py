"""Prices as publishers write them: decimal text, refused with the field's name."""

from __future__ import annotations

import pytest

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.errors import InvalidRequest
from kvproxy.granting.document_pricing import AskedPrice, DocumentPricing, share_text
from kvproxy.tariffs import DocumentTerms, ModelPrices, Tariff
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook


@pytest.fixture
def tariffs(a_database: Database) -> Tariffs:
    METADATA.create_all(a_database.engine)
    return Tariffs(a_database)


@pytest.fixture
def pricing(a_database: Database, tariffs: Tariffs) -> DocumentPricing:
    return DocumentPricing(TermsBook(a_database, tariffs), tariffs, currency="EUR")


def test_prices_become_whole_numbers(pricing: DocumentPricing) -> None:
    assert pricing.terms(AskedPrice("free")) == DocumentTerms()
    share = pricing.terms(AskedPrice("share", share="12.5%", publisher_share="80%"))
    assert (share.share_ppm, share.publisher_ppm, share_text(share)) == (125_000, 800_000, "12.5%")
    fixed = pricing.terms(AskedPrice("fixed", per_1000="0.000000001", text_readers="full_price"))
    assert (fixed.nano_per_1000, fixed.text_readers, share_text(fixed)) == (1, "full_price", None)


def test_a_kind_has_its_own_amount_and_no_other(pricing: DocumentPricing) -> None:
    for asked, field in (
        (AskedPrice("share"), "share"),
        (AskedPrice("fixed", share="1%", per_1000="1"), "share"),
        (AskedPrice("free", per_1000="1"), "per_1000"),
        (AskedPrice("fixed", per_1000="1,5"), "per_1000"),
        (AskedPrice("fixed", per_1000="-0.1"), "per_1000"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            pricing.terms(asked)
        assert caught.value.param == f"price.{field}"


def test_a_publisher_takes_no_more_than_the_host_gives(pricing: DocumentPricing, tariffs: Tariffs) -> None:
    tariffs.record(
        Tariff.of("EUR", 0, {}, ModelPrices(input=1, output=1), DocumentTerms(publisher_ppm=600_000)),
        now_ms=0,
    )
    assert pricing.terms(AskedPrice("free")).publisher_ppm == 600_000
    assert pricing.terms(AskedPrice("free", publisher_share="50%")).publisher_ppm == 500_000
    with pytest.raises(InvalidRequest, match="more than 60%"):
        pricing.terms(AskedPrice("free", publisher_share="60.1%"))


async def test_terms_are_read_with_their_history(pricing: DocumentPricing) -> None:
    nothing = await pricing.priced("manual", "acme")
    assert (nothing.current, nothing.history, nothing.currency) == (None, (), "EUR")
    dear = pricing.terms(AskedPrice("fixed", per_1000="1"))
    assert await pricing.choose("manual", "acme", dear, " CC0 ")
    assert not await pricing.choose("manual", "acme", dear), "the licence stays"
    assert await pricing.choose("manual", "acme", DocumentTerms(), "")
    found = await pricing.priced("manual", "acme")
    assert [(c.terms, c.licence) for c in found.history] == [(dear, "CC0"), (DocumentTerms(), "")]
    assert found.current == found.history[-1]
