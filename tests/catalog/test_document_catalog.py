from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.accounts.grant_values import Grant
from kvproxy.catalog.document_catalog import CatalogSearch
from kvproxy.core import Caller, DocumentRef
from kvproxy.documents.library.document_info import Verification
from kvproxy.errors import DocumentNotFound
from kvproxy.tariffs import DocumentTerms
from tests.server.market_double import MarketProxy, market_proxy, offered

ACME, ALICE = Caller("acme", "t:acme", permissions=frozenset({"publish"})), Caller("alice", "t:alice")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (CatalogSearch(), True),
        (CatalogSearch(id="hand"), True),
        (CatalogSearch(id="book"), False),
        (CatalogSearch(publisher="acme"), True),
        (CatalogSearch(publisher="acm"), False),
        (CatalogSearch(sha256="0"), False),
        (CatalogSearch(id="hand", publisher="zeta"), False),
    ],
)
def test_a_search(search: CatalogSearch, found: bool) -> None:
    assert search.finds(offered("handbook")) is found


async def test_a_grants_own_price_is_shown_to_its_reader(tmp_path: Path) -> None:
    with market_proxy(tmp_path) as made:
        catalog = made.market.catalog
        assert catalog is not None
        made.offers.documents = [offered("manual", visibility="granted")]
        fixed = DocumentTerms(kind="fixed", nano_per_1000=7_000_000)
        made.terms.keep(fixed)
        made.terms.set_terms("manual", "acme", DocumentTerms(kind="fixed", nano_per_1000=9_000_000))
        _grant(made, fixed.id)
        made.offers.granted = {DocumentRef("manual", 1): {"alice": "grant_x"}}
        (shown,) = (await catalog.page(ALICE, CatalogSearch()))["data"]
        assert shown["terms"]["id"] == fixed.id and shown["price"]["fake"]["read"]["amount"] == "0.0075"
        (own,) = (await catalog.page(ACME, CatalogSearch()))["data"]
        assert own["price"]["fake"]["read"]["amount"] == "0.0095"


def _grant(made: MarketProxy, terms: str) -> None:
    """Put a grant in memory; its tables' foreign keys are no matter of the catalog."""
    grant = Grant("grant_x", "acme", "manual", None, "tenant", "alice", 0, terms)
    made.grants._index = replace(made.grants._index, grants={"grant_x": grant})


async def test_the_newest_version_of_a_text_is_found(tmp_path: Path) -> None:
    with market_proxy(tmp_path) as made:
        catalog = made.market.catalog
        assert catalog is not None
        same = offered("hand", 1).digests
        made.offers.documents = [offered("hand", 1), offered("hand", 4, digests=same), offered("other")]
        (digest,) = same
        assert (await catalog.find(ALICE, sha256=digest.upper())).name == "hand@4"
        with pytest.raises(DocumentNotFound):
            await catalog.find(ALICE, sha256="0" * 64)


async def test_only_its_publishers_verification_counts(tmp_path: Path) -> None:
    exact = [Verification("hand@2", "system", True, "", 1, 1, 1, 5, 5)]
    with market_proxy(tmp_path) as made:
        catalog = made.market.catalog
        assert catalog is not None
        made.offers.documents = [offered("hand", 1, current=False), offered("hand", 2)]
        stranger = replace(ALICE, permissions=frozenset({"read"}))
        await catalog.note_verification(stranger, DocumentRef("hand"), exact)
        assert made.notes.last_check("acme", "hand", 2) is None
        await catalog.note_verification(ACME, DocumentRef("hand"), exact)
        await asyncio.to_thread(made.notes.refresh)
        assert made.notes.last_check("acme", "hand", 2) and made.notes.last_check("acme", "hand", 1) is None
