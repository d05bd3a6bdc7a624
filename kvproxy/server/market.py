"""`Market`: accounts, prices, ledger and payments of a running proxy, as the routes reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants


@dataclass(frozen=True, slots=True)
class Market:
    """The parts of the market. Built once with the stack; a part that is not set up is None."""

    accounts: Accounts | None = None
    grants: Grants | None = None
    tariffs: Any = None  # of kvproxy.tariffs
    terms: Any = None  # of kvproxy.tariffs
    ledger: Any = None  # of kvproxy.ledger
    host_keys: Any = None  # of kvproxy.receipts
    receipts: Any = None  # of kvproxy.receipts
    quotes: Any = None  # of kvproxy.catalog
    catalog: Any = None  # of kvproxy.catalog
    payments: Any = None  # of kvproxy.payments
    charging: Any = None  # of kvproxy.charging
    currency: str = "USD"
    """The host's one currency."""
