"""Reads as a ledger books them, for the tests of receipts."""

from __future__ import annotations

from kvproxy.core import Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.receipts.receipt_claims import BookedRead

AT = 1_800_000_000
"""Unix seconds of the first read."""


def read_of(
    number: int,
    *publishers: str,
    reader: str = "alice",
    price: int = 500_000,
    at_ms: int | None = None,
    refunds: str | None = None,
) -> BookedRead:
    """Return the read ``number``, ten minutes after the one before; of one document of each publisher."""
    sign = -1 if refunds else 1
    reads = tuple(
        DocumentTokens(f"handbook-{name}@3", f"{number:064x}", name, 3584, "t" * 64)
        for name in publishers or ("acme",)
    )
    charges = tuple(DocumentCharge(read, sign * (price + number), sign * (price // 2)) for read in reads)
    cost = sum(one.price for one in charges)
    shares = sum(one.publisher_share for one in charges)
    return BookedRead(
        f"chatcmpl-{number:032x}" if refunds is None else f"refund:{refunds}",
        (AT + 600 * number) * 1000 + 250 if at_ms is None else at_ms,
        reader,
        MeteredTokens("smollm2-135m", 3800, 3584 * len(reads), 20, reads),
        Charge("USD", cost, 10 * cost, cost - shares, charges, "f" * 64),
        "fingerprint-1",
        refunds,
    )
