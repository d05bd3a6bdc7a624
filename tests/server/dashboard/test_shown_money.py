"""Money on the pages: prices, costs and savings are those that the meter counted and the ledger booked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import DocumentRef, DocumentTokens, MeteredTokens, format_nano
from kvproxy.core.money import parse_nano
from kvproxy.dashboard.shown_values import money
from kvproxy.tariffs import DocumentTerms, Tariff, charge
from tests.server.dashboard.browsing import Browser
from tests.server.dashboard.priced_market import PRICES, PricedMarket, priced_market
from tests.server.dashboard.test_documents_view_route import events
from tests.server.doubles import eventually
from tests.server.markets import bearer
from tests.test_publish import TEXT

FIXED, OWN = 31_000_000, 7_000_000
"""Nano-units for a thousand tokens: the document's price, and that of a grant."""


@dataclass
class Selling:
    """A publisher with documents at prices, and a reader."""

    market: PricedMarket
    browser: Browser
    acme: str
    rita: str

    async def call(self, key: str, path: str, body: Any) -> dict[str, Any]:
        async with self.browser.http.post(path, json=body, headers=bearer(key)) as answer:
            told: dict[str, Any] = await answer.json()
            assert answer.status < 300, told
            return told

    async def publish(self, id: str, visibility: str, price: dict[str, str]) -> None:
        body = {"id": id, "text": f"{id}: {TEXT}", "visibility": visibility, "price": price}
        await self.call(self.acme, "/kv/v1/documents", body)

    async def ask(self, document: str, side: str) -> dict[str, Any]:
        """Ask in the playground's stream as the reader; return the last event's data."""
        await self.browser.log_in(self.rita)
        token = (await self.browser.get("/ui/playground")).token
        fields = {"document": document, "question": "Why?", "tokens": "4", "side": side}
        told = await events(self.browser, "/ui/playground/answer", token, fields)
        assert told[-1][0] == "done"
        return dict(told[-1][1])

    async def balance(self, tenant: str) -> int:
        await eventually(lambda: self.market.ledger.backlog == 0)
        return (await self.market.ledger.balance(tenant)).nano


@pytest.fixture
async def selling(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Selling]:
    async with priced_market(tiny_model, tmp_path) as market, market.browser() as browser:
        await market.tenant("acme", 10**9)
        await market.tenant("rita", 10**9)
        acme = await market.key("acme", "read", "publish", "ledger")
        rita = await market.key("rita", "read", "ledger")
        yield Selling(market, browser, acme.text, rita.text)


def priced(told: dict[str, Any], terms: DocumentTerms, document_tokens: int) -> Any:
    """Return the charge of an answer, computed here from its counts alone."""
    read = DocumentTokens("lent@1", "e", "acme", document_tokens, terms.id, by_reference=True)
    metered = MeteredTokens(
        "fake",
        told["prompt_tokens"],
        told["cached_tokens"],
        told["completion_tokens"],
        (read,) if document_tokens else (),
    )
    return charge(metered, Tariff.of("USD", 0, {"fake": PRICES}), {terms.id: terms})


async def test_the_playground_shows_what_is_booked(selling: Selling) -> None:
    await selling.publish("rules", "public", {"kind": "fixed", "per_1000": "0.031"})
    before = await selling.balance("rita")
    cold, warm = await selling.ask("rules@1", "cold"), await selling.ask("rules@1", "warm")
    costs = [parse_nano(side["cost"]["cost"]) for side in (cold, warm)]
    assert before - await selling.balance("rita") == sum(costs), "the balance has lost what was shown"
    assert cold["cached_tokens"] == 0 and cold["cost"]["cost"] == cold["cost"]["cold_cost"]
    exact = cold["prompt_tokens"] * PRICES.input + cold["completion_tokens"] * PRICES.output
    assert costs[0] == (2 * exact + 10**6) // (2 * 10**6)
    assert warm["cost"]["cold_cost"] == cold["cost"]["cold_cost"], "the same question, had it missed"
    assert warm["cost"]["saved"].startswith("-"), "a fixed price above what the prefill costs"
    requests = (await selling.browser.get("/ui/requests")).words
    for side in (cold, warm):
        assert f"{side['cost']['cost']} USD" in requests


async def test_without_a_script_the_prices_are_the_same(selling: Selling) -> None:
    await selling.publish("rules", "public", {"kind": "share", "share": "40%"})
    await selling.browser.log_in(selling.rita)
    form = await selling.browser.get("/ui/playground")
    before = await selling.balance("rita")
    fields = {"csrf": form.token, "document": "rules@1", "question": "Why?", "tokens": "4"}
    shown = await selling.browser.post("/ui/playground", fields)
    prices = re.findall(r"Price ?([0-9.]+) USD", shown.words)
    assert len(prices) == 2, shown.words
    lost = before - await selling.balance("rita")
    assert sum(parse_nano(price) for price in prices) == lost
    cold, warm = map(parse_nano, prices)
    assert warm < cold
    overview = await selling.market.usage.overview("rita")
    saved = overview.today.saved["USD"]
    assert saved == cold - warm, "the cold side saves nothing, the warm one the difference"
    assert money(saved, "USD") in (await selling.browser.get("/ui/overview")).words


async def test_a_documents_price_is_that_of_the_grant_that_lets_the_reader_in(selling: Selling) -> None:
    await selling.publish("lent", "granted", {"kind": "fixed", "per_1000": format_nano(FIXED)})
    wanted = {"document": "lent", "reader": "tenant", "id": "rita", "price": format_nano(OWN)}
    await selling.call(selling.acme, "/kv/v1/grants", wanted)
    for key, price in ((selling.acme, FIXED), (selling.rita, OWN)):
        await selling.browser.log_in(key)
        for path in ("/ui/documents", "/ui/documents/lent"):
            page = await selling.browser.get(path)
            others = {FIXED, OWN} - {price}
            assert f"{format_nano(price)} USD per 1,000 tokens" in page.words, path
            assert not any(f"{format_nano(other)} USD per" in page.words for other in others), path
    warm = await selling.ask("lent@1", "warm")
    row = next(iter(selling.market.proxy.components.feed.everybodys("", 1))).entry
    assert row["cost"] == warm["cost"]["cost"]
    terms = DocumentTerms(kind="fixed", nano_per_1000=OWN)
    [use] = (await selling.market.usage.documents([_ref(selling, "lent")], "rita")).values()
    assert priced(warm, terms, use.cached_tokens).cost == parse_nano(warm["cost"]["cost"])


async def test_the_cold_side_of_a_granted_document_is_refused_and_costs_nothing(selling: Selling) -> None:
    await selling.publish("lent", "granted", {"kind": "fixed", "per_1000": "0.031"})
    await selling.call(selling.acme, "/kv/v1/grants", {"document": "lent", "reader": "tenant", "id": "rita"})
    await selling.browser.log_in(selling.rita)
    form = await selling.browser.get("/ui/playground")
    before = await selling.balance("rita")
    fields = {"csrf": form.token, "document": "lent@1", "question": "Why?", "tokens": "4"}
    shown = await selling.browser.post("/ui/playground", fields)
    assert (
        "is read from its publisher's pages" in shown.words and "equal" not in shown.words.split("What is")[0]
    )
    [price] = re.findall(r"Price ?([0-9.]+) USD", shown.words)
    assert before - await selling.balance("rita") == parse_nano(price)


async def test_what_a_document_earned_and_saved_is_in_the_ledger_too(selling: Selling) -> None:
    free = {"kind": "free"}
    await selling.publish("rules", "public", {"kind": "share", "share": "50%", "publisher_share": "80%"})
    await selling.publish("gift", "public", free)
    paid = [await selling.ask(name, "warm") for name in ("rules@1", "rules@1", "gift@1")]
    await selling.balance("rita")
    earned = (await selling.market.ledger.balance("acme")).earned
    await selling.browser.log_in(selling.acme)
    page = await selling.browser.get("/ui/publishers")
    assert f"Earned in all {money(earned, 'USD')}" in page.words and earned > 0
    assert f"Income {money(earned, 'USD')} in the period" in page.words
    listed = (await selling.browser.get("/ui/documents")).words
    assert "50% of what is saved" in listed and "free" in listed
    whole = (await selling.market.usage.overview("rita")).today.saved["USD"]
    assert whole == sum(parse_nano(one["cost"]["saved"]) for one in paid)
    uses = await selling.market.usage.documents([_ref(selling, "rules"), _ref(selling, "gift")], None)
    parts = [use.saved["USD"] for use in uses.values()]
    assert 0 < sum(parts) <= whole, (
        "of what was saved, the documents' part; the template's words are no document's"
    )
    for nano in parts:
        assert money(nano, "USD") in listed


def _ref(selling: Selling, id: str) -> DocumentRef:
    [found] = [known for known in selling.market.shop.library if known.document.id == id]
    return found.document.ref
