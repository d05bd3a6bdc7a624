"""Rows as their reader and their publishers see them."""

from __future__ import annotations

import dataclasses

import pytest

from kvproxy.core.charges import Charge, MeteredTokens
from kvproxy.errors import InvalidRequest
from kvproxy.ledger.bookings import Balance, LedgerEntry, RowContent
from kvproxy.ledger.row_body import GENESIS, chained, content_of, taken_back
from kvproxy.wire.market.ledger_types import kv_balance, kv_reads, kv_usage, parse_credit
from tests.ledger.made_bookings import NOW_MS, booking, metered

READ = chained(content_of(booking("r1")), 1, GENESIS)
TOPUP = chained(
    RowContent(
        id="credit:c1",
        kind="topup",
        at_ms=NOW_MS,
        reader="alice",
        key=None,
        metered=MeteredTokens("", 0, 0, 0),
        charge=Charge("USD", 0, 0, 0, (), ""),
        entries=(LedgerEntry("external:admin", -70), LedgerEntry("reader:alice", 70)),
    ),
    2,
    READ.hash,
)


def test_what_a_reader_paid_is_below_zero_where_its_balance_grew() -> None:
    assert kv_usage(READ)["paid"]["nano"] == READ.charge.cost
    assert kv_usage(TOPUP)["paid"]["nano"] == -70
    for row, paid in ((READ, -READ.charge.cost), (TOPUP, 70)):
        back = chained(taken_back(row, at_ms=1, reason=""), 3, TOPUP.hash)
        assert kv_usage(back)["paid"]["nano"] == paid and kv_usage(back)["refunds"] == row.id


def test_a_publisher_sees_its_own_documents_alone() -> None:
    other = metered(cached=40, publisher="quentin").documents[0]
    used = dataclasses.replace(READ.metered, documents=(*READ.metered.documents, other))
    priced = dataclasses.replace(READ.charge.documents[0], read=other)
    charge = dataclasses.replace(READ.charge, documents=(*READ.charge.documents, priced))
    row = dataclasses.replace(READ, metered=used, charge=charge)
    (read,) = kv_reads(row, "quentin", lambda reader, publisher: f"{publisher}'s reader")
    assert read["tokens"] == 40 and read["reader"] == "quentin's reader"
    assert "alice" not in str(read) and "paula" not in str(read) and "r1" not in str(read)
    assert kv_reads(TOPUP, "paula", lambda *_: "") == []


def test_a_balance_without_a_limit_has_no_credit() -> None:
    told = kv_balance("alice", Balance(-5, 7, None, 3), "USD")
    assert told["credit"] is None and told["balance"]["amount"] == "-0.000000005"
    assert (told["held"]["nano"], told["earned"]["nano"]) == (7, 3)


def test_a_credit_is_read_strictly() -> None:
    assert parse_credit({"tenant": "alice", "amount": "0.5"}).nano() == 5 * 10**8
    for wrong in (
        {"tenant": "alice"},
        {"tenant": "a", "amount": 1},
        {"tenant": "a", "amount": 0.5},
    ):
        with pytest.raises(InvalidRequest):
            parse_credit(wrong)
    with pytest.raises(InvalidRequest, match="Invalid 'amount'"):
        parse_credit({"tenant": "a", "amount": "a lot"}).nano()
