"""A proxy with accounts, a ledger with reads, signed receipts, a fleet and a store, for tests of the market's views."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kvproxy.accounts.account_values import KeyOrder
from kvproxy.core import Permission, Visibility
from kvproxy.documents.library.document import Document, FramedPrefix, TokenizedDocument
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.telemetry.fleet_series import FleetSeries, ReplicaSeries
from kvproxy.telemetry.store_state import StoreState, TierState, WriteBehindState
from tests.ledger.made_bookings import booking, hold_request, metered
from tests.server.dashboard.browsing import Browser, browsing
from tests.server.doubles import Proxy
from tests.server.markets import MarketProxy, market_proxy

STATE = StoreState(
    (
        TierState("memory", 3, 3000, 9000),
        TierState("disk", 7, 7000, 70_000),
        TierState("objects", 11, None, None),
    ),
    evicted=5,
    behind=WriteBehindState(backlog=13, written=4, failures=1, resting=False),
)
FLEET = FleetSeries(
    "fake",
    (
        ReplicaSeries("rack1", True, running=2, event_lag_s=0.02, state="up", answers=3),
        ReplicaSeries("rack2", False, state="down: connection refused"),
    ),
)


@dataclass
class OpenedMarket:
    """The proxy, and keys of tenants with one permission each."""

    made: MarketProxy
    browser: Browser

    @property
    def proxy(self) -> Proxy:
        return self.made.proxy

    async def key(self, *scopes: Permission, tenant: str = "alice") -> str:
        """Make an API key and return its text."""
        order = KeyOrder(tenant, frozenset(scopes))
        return (await asyncio.to_thread(self.made.accounts.create_key, order)).text


def known(market: OpenedMarket, id: str, owner: str, visibility: Visibility) -> KnownDocument:
    """Make a document known: version 1, of 40 tokens under its one framing."""
    scope = market.made.accounts.tenant(owner).scope
    document = Document(id, 1, "x" * 39, "e" * 64, visibility, scope, 1_700_000_000)
    tokenized = TokenizedDocument(document.text, "k" * 64, tuple(range(39)), (), 0, 0, 0)
    found = KnownDocument(document, tokenized, (FramedPrefix("system", tuple(range(40))),))
    market.proxy.composer.library.add(found)
    return found


@asynccontextmanager
async def opened_market(folder: Path, **components_of: Any) -> AsyncIterator[OpenedMarket]:
    """Serve the proxy; boss has read acme's document three times. ``components_of``: components in place of these."""
    keys = await asyncio.to_thread(HostKeys.open, folder)
    async with market_proxy(folder, host_keys=keys) as made:
        receipts = Receipts(made.database, keys, host="kv.example", currency="USD", booked=made.ledger.booked)
        components = made.proxy.components
        assert components.market is not None
        made.proxy.components = replace(
            components,
            **{
                "market": replace(components.market, receipts=receipts),
                "store_state": lambda: STATE,
                "fleets": lambda: (FLEET,),
                **components_of,
            },
        )
        await made.ledger.credit("boss", 10**6, "admin", "invoice 1", id="c1")
        for number in range(3):
            hold = await made.ledger.hold(hold_request(f"r{number}", tenant="boss"))
            used = metered(cached=20, fresh=5, completion=3, publisher="acme")
            hold.settle(booking(f"r{number}", used, tenant="boss"))
        async with browsing(made.proxy) as browser:
            yield OpenedMarket(made, browser)
