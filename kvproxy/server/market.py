"""`Market`: accounts, prices, ledger and payments of a running proxy, as the routes reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvproxy.payments.payment_registry import Payments


@dataclass(frozen=True, slots=True)
class Market:
    """The parts of the market. Built once with the stack; a part that is not set up is None."""

    accounts: Any = None
    grants: Any = None
    tariffs: Any = None  # of kvproxy.tariffs
    terms: Any = None  # of kvproxy.tariffs
    ledger: Any = None  # of kvproxy.ledger
    host_keys: Any = None  # of kvproxy.receipts
    receipts: Any = None  # of kvproxy.receipts
    quotes: Any = None  # of kvproxy.catalog
    catalog: Any = None  # of kvproxy.catalog
    payments: Payments | None = None
    charging: Any = None  # of kvproxy.charging
