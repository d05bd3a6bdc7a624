"""`Market`: accounts, prices, ledger and payments of a running proxy, as the routes reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.host_description import MarketHost
from kvproxy.catalog.quote_maker import QuoteMaker
from kvproxy.catalog.signed_quotes import Quotes
from kvproxy.ledger.ledger import Ledger
from kvproxy.payments.payment_registry import Payments
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts


@dataclass(frozen=True, slots=True)
class Market:
    """The parts of the market. Built once with the stack; a part that is not set up is None."""

    accounts: Accounts | None = None
    grants: Grants | None = None
    tariffs: Any = None  # of kvproxy.tariffs
    terms: Any = None  # of kvproxy.tariffs
    ledger: Ledger | None = None
    host_keys: HostKeys | None = None
    receipts: Receipts | None = None
    quotes: Quotes | None = None
    catalog: Catalog | None = None
    quote_maker: QuoteMaker | None = None
    host: MarketHost | None = None
    payments: Payments | None = None
    charging: Any = None  # of kvproxy.charging
    currency: str = "USD"
    """The host's one currency."""
