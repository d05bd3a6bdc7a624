"""Charging by tariff on the real ledger, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvproxy.accounts.account_values import Budget
from kvproxy.charging.charge_requests import Offer
from kvproxy.charging.market_charging import MarketCharging, MarketDesks
from kvproxy.charging.meter_tokens import meter_prompt, meter_upstream
from kvproxy.charging.paid_requests import PaidRequests
from kvproxy.core import Caller, Hit, MeteredTokens
from kvproxy.database.database import Database
from kvproxy.errors import AlreadyUsed, InvalidRequest, PaymentRequired, PermissionDenied, QuotaExceeded
from kvproxy.events import Usage
from kvproxy.ledger.ledger import unix_ms
from kvproxy.ledger.ledger_check import check
from kvproxy.ledger.ledger_reading import RowQuery
from kvproxy.payments.open_payments import PaymentPlan, open_payments
from kvproxy.payments.payment_registry import Payments
from kvproxy.tariffs import DocumentTerms, Tariff
from tests.charging.market_setup import ALICE, SPAN, MarketSetup, market_setup, order
from tests.charging.prices import PRICES, TARIFF, price
from tests.payments.paying import RECIPIENT, wallet, x402_answer

HELD = price(320, 0, 10)
SHARE = DocumentTerms(kind="share", share_ppm=250_000)


@pytest.fixture
async def setup(a_database: Database, tmp_path: Path) -> AsyncIterator[MarketSetup]:
    async with market_setup(a_database, tmp_path) as opened:
        yield opened
        await opened.ledger.booked()
        assert await asyncio.to_thread(check, a_database) == []


def charging_of(setup: MarketSetup, **desks: Any) -> MarketCharging:
    return MarketCharging(
        setup.ledger, setup.tariffs, setup.terms, MarketDesks(**desks), fingerprints={"fake": "f" * 64}
    )


def read(cached: int = 310, generated: int = 7, terms: str = "") -> MeteredTokens:
    return meter_prompt("fake", (SPAN,), Usage(320, generated, cached), {SPAN.document: terms})


async def test_a_read_is_held_at_the_miss_price_and_settled_at_its_own(setup: MarketSetup) -> None:
    await asyncio.to_thread(setup.terms.set_terms, "book", "acme", SHARE)
    await setup.credit(10 * HELD)
    charging = charging_of(setup, receipt_of=setup.receipts.of)
    charging.prefilled("fake", 1000, 2.0)
    charge = await charging.open(order(offer=Offer(receipt=True)))
    assert charge.preview is not None and charge.preview.hold.nano == HELD
    assert charge.preview.cold_prompt.nano == price(320, 0, 0)
    assert await setup.balance() == (10 * HELD, HELD)
    settled = charge.settle(read(terms=charge.terms[SPAN.document]))
    assert settled.charge is not None and len(settled.receipts) == 1
    # A quarter of what 296 tokens save goes to acme.
    share = 296 * 900 // 4
    assert settled.charge.cost == price(320, 310, 7) + share
    assert settled.charge.documents[0].publisher_share == share
    assert charge.settle(read()) == settled, "the first counts"
    charge.release()
    assert await setup.balance() == (10 * HELD - settled.charge.cost, 0)
    (row,) = await setup.ledger.rows(RowQuery(kinds=("read",)))
    assert (row.id, row.reader, row.key, row.outcome) == ("chatcmpl-1", "alice", "key_1", "complete")
    assert row.charge == settled.charge and row.fingerprint == "f" * 64
    assert row.seconds_saved_us == 310 * 2_000_000 // 1000


async def test_a_client_that_leaves_is_booked_as_left_and_a_failure_not_at_all(setup: MarketSetup) -> None:
    await setup.credit(10 * HELD)
    charging = charging_of(setup)
    gone, failed = await charging.open(order("a")), await charging.open(order("b"))
    failed.release()
    left = gone.left(MeteredTokens("fake", 12, 0, 0))
    assert left.charge is not None and left.charge.cost == price(12, 0, 0)
    assert await setup.balance() == (10 * HELD - left.charge.cost, 0)
    (row,) = await setup.ledger.rows(RowQuery(kinds=("read",)))
    assert (row.id, row.outcome) == ("a", "left")


async def test_without_a_tariff_requests_are_free_and_booked(a_database: Database, tmp_path: Path) -> None:
    async with market_setup(a_database, tmp_path, priced=False) as setup:
        charging = charging_of(setup)
        charge = await charging.open(order())
        assert charge.preview is None
        assert charge.settle(read(terms=charge.terms[SPAN.document])).charge is None
        (row,) = await setup.ledger.rows(RowQuery(kinds=("read",)))
        assert (row.charge.cost, row.metered.cached_tokens, row.metered.document_tokens) == (0, 310, 296)
        assert await asyncio.to_thread(check, a_database) == []


async def test_a_model_that_is_not_sold_is_free(a_database: Database, tmp_path: Path) -> None:
    async with market_setup(a_database, tmp_path, priced=False) as setup:
        await asyncio.to_thread(setup.tariffs.record, Tariff.of("USD", 0, {"other": PRICES}), 0)
        charge = await charging_of(setup).open(order())
        assert charge.preview is None and charge.settle(read(0)).charge is None


async def test_a_short_balance_is_402_with_the_quote_of_the_order(setup: MarketSetup) -> None:
    await setup.credit(HELD - 1)
    charging = charging_of(setup, quotes=setup.quotes, payments=Payments())
    first = order()
    expected = replace(first.prompts[0], expected=lambda: Hit(310, SPAN.document))
    with pytest.raises(
        PaymentRequired, match=r"may cost up to 0\.00035 USD.*balance of 'alice' is 0\.000349"
    ) as e:
        await charging.open(replace(first, prompts=(expected,)))
    quote = e.value.quote
    assert quote is not None
    assert (quote["object"], quote["prompt_tokens"], quote["cached_tokens"]) == ("kv_quote", 320, 310)
    assert quote["most"]["nano"] == HELD and quote["miss"]["nano"] == price(320, 0, 0)
    assert quote["hit"]["nano"] == price(320, 310, 0) and quote["documents"][0]["tokens"] == 296
    assert await setup.balance() == (HELD - 1, 0)


async def test_a_hundred_requests_at_once_never_overdraw(setup: MarketSetup) -> None:
    await setup.credit(3 * HELD + 17)
    charging = charging_of(setup)

    async def ask(number: int) -> int:
        try:
            charge = await charging.open(order(f"r{number}"))
        except PaymentRequired:
            return 0
        settled = charge.settle(MeteredTokens("fake", 320, 0, 10))
        assert settled.charge is not None
        return settled.charge.cost

    costs = await asyncio.gather(*(ask(n) for n in range(100)))
    assert sum(costs) == 3 * HELD
    assert await setup.balance() == (17, 0)


async def test_a_quote_fixes_the_prices_and_is_given_back_by_a_failure(setup: MarketSetup) -> None:
    await setup.credit(10 * HELD)
    charging = charging_of(setup, quotes=setup.quotes)
    quoted = await _quoted(setup, charging)
    dearer = Tariff.of("USD", unix_ms(), {"fake": replace(PRICES, input=5 * PRICES.input)})
    await asyncio.to_thread(setup.tariffs.record, dearer, dearer.valid_from_ms)
    failed = await charging.open(order("a", offer=Offer(quote=quoted)))
    failed.release()
    await charging.close()
    charge = await charging.open(order("b", offer=Offer(quote=quoted)))
    settled = charge.settle(MeteredTokens("fake", 320, 0, 1))
    assert settled.charge is not None
    assert (settled.charge.tariff, settled.charge.cost) == (TARIFF.id, price(320, 0, 1))
    with pytest.raises(AlreadyUsed):
        await charging.open(order("c", offer=Offer(quote=quoted)))
    plain = await charging.open(order("d"))
    assert plain.preview is not None and plain.preview.cold_prompt.nano == 5 * price(320, 0, 0)
    plain.release()


async def test_a_quote_of_another_reader_or_model_is_refused(setup: MarketSetup) -> None:
    await setup.credit(10 * HELD)
    charging = charging_of(setup, quotes=setup.quotes)
    quoted = await _quoted(setup, charging)
    bob = replace(order("a", offer=Offer(quote=quoted)), caller=Caller("bob", "tenant:bob"))
    with pytest.raises(PermissionDenied):
        await charging.open(bob)
    with pytest.raises(InvalidRequest, match="for the model 'fake'"):
        await charging.open(order("b", offer=Offer(quote=quoted), model="other"))
    await charging.close()
    assert (await charging.open(order("c", offer=Offer(quote=quoted)))).preview is not None


async def test_a_budget_that_is_used_up_is_429(setup: MarketSetup) -> None:
    class Budgets:
        def budgets_of(self, caller: Caller) -> tuple[Budget, ...]:
            return (Budget("tenant:alice", "day", tokens=400),)

    await setup.credit(10 * HELD)
    charging = charging_of(setup, budgets=Budgets())
    charge = await charging.open(order("a"))
    with pytest.raises(QuotaExceeded):
        await charging.open(order("b"))
    charge.release()
    (await charging.open(order("c"))).release()


async def test_an_upstream_that_reports_more_than_was_held_is_paid_what_was_held(setup: MarketSetup) -> None:
    await setup.credit(HELD)
    charge = await charging_of(setup).open(order())
    settled = charge.settle(meter_upstream("fake", Usage(5000, 900, 4000)))
    assert settled.charge is not None and settled.charge.cost <= HELD
    assert (await setup.balance())[0] >= 0


class GrantOf:
    """A grant with terms of its own, or one that is gone."""

    def __init__(self, terms: str | None) -> None:
        self.terms = terms

    def get(self, id: str) -> GrantOf:
        return self


async def test_a_grants_own_terms_count_before_the_documents(setup: MarketSetup) -> None:
    await asyncio.to_thread(setup.terms.set_terms, "book", "acme", SHARE)
    own = DocumentTerms(kind="fixed", nano_per_1000=5000)
    granted = await asyncio.to_thread(setup.terms.keep, own)
    await setup.credit(10 * HELD)
    span = replace(SPAN, grant="grant_1")
    asked = order()
    asked = replace(asked, prompts=(replace(asked.prompts[0], documents=(span,)),))
    charge = await charging_of(setup, grants=GrantOf(granted)).open(asked)
    assert charge.terms == {span.document: own.id}
    charge.release()
    charge = await charging_of(setup, grants=GrantOf(None)).open(asked)
    assert charge.terms == {span.document: SHARE.id}
    charge.release()


async def test_a_payment_by_request_is_authorised_at_the_miss_price_and_settled_at_the_hit_price(
    setup: MarketSetup, tmp_path: Path
) -> None:
    paid = PaidRequests(setup.ledger, setup.database)
    plan = PaymentPlan(
        methods=("upto",),
        recipient=RECIPIENT,
        facilitator="local",
        local_wallets={wallet(1).address: 5 * 10**9},
    )
    async with open_payments(
        plan, setup.database, paid, secret=b"s" * 32, folder=tmp_path, booked=paid.booked
    ) as payments:
        charging = charging_of(setup, quotes=setup.quotes, payments=payments, paid=paid.note)
        with pytest.raises(PaymentRequired) as e:
            await charging.open(order("a"))
        assert e.value.quote is not None and e.value.quote["payment"]["x402"]
        signed = x402_answer(e.value.headers, wallet(), "upto")
        failed = await charging.open(order("b", offer=Offer(headers=signed)))
        failed.release()
        await charging.close()
        charge = await charging.open(order("c", offer=Offer(headers=signed)))
        settled = charge.settle(read(terms=charge.terms[SPAN.document]))
        headers = await charge.paid()
        assert settled.charge is not None and "PAYMENT-RESPONSE" in headers
        await charging.close()
        (row,) = await setup.ledger.rows(RowQuery(kinds=("read",)))
        assert row.settled_by is not None and row.charge == settled.charge
        # The payment took whole units of its token: what is above the price is the reader's.
        units = -(-settled.charge.cost // 1000)
        assert await setup.balance() == (units * 1000 - settled.charge.cost, 0)
        assert await paid.booked(row.settled_by) == settled.charge.cost
        assert await PaidRequests(setup.ledger, setup.database).booked(row.settled_by) == settled.charge.cost
        with pytest.raises(AlreadyUsed):
            await charging.open(order("d", offer=Offer(headers=signed)))


async def _quoted(setup: MarketSetup, charging: MarketCharging) -> str:
    """The signed quote of a 402 that bob-less alice got."""
    poor = replace(ALICE, name="alice")
    big = replace(order("q"), caller=poor)
    big = replace(big, prompts=(replace(big.prompts[0], most_new=10**6),))
    with pytest.raises(PaymentRequired) as e:
        await charging.open(big)
    assert e.value.quote is not None
    jws: str = e.value.quote["jws"]
    return jws
