"""`statement_claims`: the claims of a publisher's statement, a piece of the log of all its receipts.

A publisher's receipts form one Merkle tree, in the order in which they were booked. A statement shows the leaves from
``first`` to ``size``, and the right edge of those before: whoever holds it can compute the tree's root before and after
them. So the statements of one publisher chain, and none can be left out or rewritten unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import Money, format_nano
from kvproxy.receipts.canonical_jws import canonical
from kvproxy.receipts.merkle_tree import RightEdge, leaf_hash

STATEMENT_TYP = "kvproxy-statement+jws"
"""The ``typ`` of a statement's header."""


@dataclass(frozen=True, slots=True)
class ListedReceipt:
    """A receipt in a publisher's log."""

    id: str
    leaf: bytes
    """The RFC 9162 leaf hash of the receipt's payload."""
    tokens: int
    price: int
    """Paid by the reader, in nano-units; negative for a refund."""
    publisher_share: int


@dataclass(frozen=True, slots=True)
class StatementScope:
    """The publisher and the period of a statement, in Unix seconds: ``until`` is not in it."""

    host: str
    publisher: str
    since: int
    until: int
    currency: str


@dataclass(frozen=True, slots=True)
class LogRoot:
    """The whole ledger's tree, as a checkpoint commits to it."""

    size: int
    root: bytes


def receipt_leaf(claims: dict[str, Any]) -> bytes:
    """Return the leaf of a receipt: the hash of its payload, which no signature is a part of."""
    return leaf_hash(canonical(claims))


def totals(receipts: Iterable[ListedReceipt]) -> tuple[int, int]:
    """Return the sums of what readers paid, and of the publisher's shares."""
    listed = list(receipts)
    return sum(r.price for r in listed), sum(r.publisher_share for r in listed)


def statement_claims(
    scope: StatementScope, before: RightEdge, receipts: Sequence[ListedReceipt], log: LogRoot, made: int
) -> dict[str, Any]:
    """Return a statement's claims. ``before``: the publisher's tree without ``receipts``; ``made``: Unix seconds.

    Example:
        ``statement_claims(scope, RightEdge(), receipts, LogRoot(0, EMPTY_ROOT), made=1_800_000_000)["root"]``
    """
    after = before.grown(receipt.leaf for receipt in receipts)
    price, share = totals(receipts)
    return {
        "iss": scope.host,
        "iat": made,
        "publisher": scope.publisher,
        "from": scope.since,
        "to": scope.until,
        "first": before.size,
        "size": after.size,
        "edge": [peak.hex() for peak in before.peaks],
        "root_before": before.root.hex(),
        "root": after.root.hex(),
        "receipts": [{"id": receipt.id, "hash": receipt.leaf.hex()} for receipt in receipts],
        "tokens": sum(receipt.tokens for receipt in receipts),
        "currency": Money(0, scope.currency).currency,
        "price": format_nano(price),
        "publisher_share": format_nano(share),
        "host_share": format_nano(price - share),
        "log": {"size": log.size, "root": log.root.hex()},
    }
