from __future__ import annotations

from kvproxy.receipts.merkle_tree import EMPTY_ROOT, RightEdge, leaf_hash, tree_root
from kvproxy.receipts.statement_claims import (
    ListedReceipt,
    LogRoot,
    StatementScope,
    receipt_leaf,
    statement_claims,
)

LEAVES = [leaf_hash(bytes([n])) for n in range(7)]
LISTED = [ListedReceipt(f"rcpt_{n}", leaf, 100, 5 * 10**8, 2 * 10**8) for n, leaf in enumerate(LEAVES)]
SCOPE = StatementScope("kv.example", "acme", 10, 20, "USD")


def test_a_piece_of_the_log_has_the_roots_before_and_after_it() -> None:
    before = RightEdge().grown(LEAVES[:3])
    claims = statement_claims(SCOPE, before, LISTED[3:], LogRoot(9, EMPTY_ROOT), made=21)
    assert (claims["first"], claims["size"]) == (3, 7)
    assert claims["root_before"] == tree_root(LEAVES[:3]).hex() and claims["root"] == tree_root(LEAVES).hex()
    assert [bytes.fromhex(peak) for peak in claims["edge"]] == list(before.peaks)
    assert [one["id"] for one in claims["receipts"]] == ["rcpt_3", "rcpt_4", "rcpt_5", "rcpt_6"]


def test_sums_are_exact_and_refunds_are_taken_off() -> None:
    refund = ListedReceipt("rcpt_r", leaf_hash(b"r"), 0, -5 * 10**8, -2 * 10**8)
    claims = statement_claims(SCOPE, RightEdge(), [*LISTED, refund], LogRoot(0, EMPTY_ROOT), made=21)
    assert (claims["tokens"], claims["price"]) == (700, "3")
    assert (claims["publisher_share"], claims["host_share"]) == ("1.2", "1.8")


def test_an_empty_period_names_the_log_as_it_was() -> None:
    claims = statement_claims(SCOPE, RightEdge().grown(LEAVES), [], LogRoot(0, EMPTY_ROOT), made=21)
    assert claims["root"] == claims["root_before"] == tree_root(LEAVES).hex() and claims["price"] == "0"


def test_a_leaf_is_of_the_payload_whatever_the_order_of_its_claims() -> None:
    assert receipt_leaf({"a": 1, "b": 2}) == receipt_leaf({"b": 2, "a": 1}) == leaf_hash(b'{"a":1,"b":2}')
