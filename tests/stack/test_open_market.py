"""The market of a proxy, opened from its configuration alone, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.accounts.grant_values import Grant
from kvproxy.catalog.host_description import HostedModel, MarketHost
from kvproxy.config import Config, load_config
from kvproxy.core import ANONYMOUS, NANO, Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.errors import SetupError
from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.stack.open_database import open_database
from kvproxy.stack.open_market import OpenMarket, host_of, open_market

FOREVER_MS = 2**52
SMALL = HostedModel("small", "f" * 64, 8192)
READ = DocumentTokens("handbook@1", "0" * 64, "acme", 300, "", by_reference=True)


def config(folder: Path, url: str | None = None) -> Config:
    tariff = folder / "tariff.yaml"
    tariff.write_text(
        'currency: EUR\ntariffs: [{valid_from: 2026-01-01, models: {small: {input: "5", output: "15"}}}]\n'
    )
    return load_config(
        None,
        {
            "model.path": "small",
            "store.path": folder / "store",
            "database.url": url,
            "tariff": tariff,
            "billing.currency": "EUR",
            "billing.default_credit": "2.50",
            "host.name": "kv.example.com",
            "server.api_keys": [{"name": "acme", "key": "acme-0123456789abcdef"}],
        },
    )


@asynccontextmanager
async def the_market(settings: Config, host: MarketHost) -> AsyncIterator[OpenMarket]:
    async with open_database(settings) as database, open_market(settings, host, database) as market:
        yield market


async def test_all_of_it_is_of_one_configuration(tmp_path: Path, database_url: str | None) -> None:
    settings = config(tmp_path, database_url)
    async with the_market(settings, host_of(settings, [SMALL])) as market:
        assert (market.host.name, market.host.model, market.currency) == ("kv.example.com", "small", "EUR")
        tariff = market.tariffs.at(FOREVER_MS)
        assert tariff is not None and tariff.currency == market.ledger.currency == "EUR"
        assert [tenant.id for tenant in market.accounts.tenants()] == ["acme", "anonymous"]
        assert (await market.ledger.balance("acme")).credit == 2_500_000_000
        assert market.payments.methods == ()
        assert market.host_keys.verify(market.host_keys.sign({"a": 1}, "t"), "t")["a"] == 1


async def test_a_second_start_finds_what_the_first_one_booked(tmp_path: Path) -> None:
    settings = config(tmp_path)
    host = host_of(settings, [SMALL])
    async with the_market(settings, host) as market:
        await market.ledger.credit("anonymous", NANO, "admin", id="c1")
        jwks = market.host_keys.jwks()
    async with the_market(settings, host) as market:
        assert (await market.ledger.balance("anonymous")).nano == NANO
        assert market.host_keys.jwks() == jwks


async def test_a_booked_read_counts_for_its_grant(tmp_path: Path) -> None:
    settings = config(tmp_path)
    async with the_market(settings, host_of(settings, [SMALL])) as market:
        grant = market.grants.create(Grant("", "acme", "handbook", None, "everybody", None, 0))
        read = replace(READ, grant=grant.id)
        metered = MeteredTokens("small", 320, 300, 5, (read,))
        charged = Charge("EUR", 0, 0, 0, (DocumentCharge(read, 0, 0),), "")
        hold = await market.ledger.hold(HoldRequest("r1", ANONYMOUS, 0))
        hold.settle(Booking("r1", 1, "anonymous", None, metered, charged))
        await market.ledger.booked()
        assert market.grants.use(grant.id).tokens == 300


def test_a_tariff_in_another_currency_ends_the_start(tmp_path: Path) -> None:
    settings = config(tmp_path)
    (tmp_path / "tariff.yaml").write_text("currency: USD\ntariffs: [{valid_from: 2026-01-01, models: {}}]\n")

    async def start() -> None:
        async with the_market(settings, host_of(settings, [SMALL])):
            raise AssertionError("it started")

    with pytest.raises(SetupError, match="currency"):
        asyncio.run(start())
