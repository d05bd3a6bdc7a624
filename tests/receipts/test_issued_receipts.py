from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from kvproxy.core import ALL_PERMISSIONS, Caller, Permission, parse_nano
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.ledger_tables import LEDGER_ROWS
from kvproxy.database.tables.receipt_tables import LOG_EDGES, RECEIPT_LEAVES
from kvproxy.errors import InvalidRequest, PermissionDenied, ReceiptNotFound
from kvproxy.ledger.row_body import taken_back
from kvproxy.receipts.canonical_jws import unverified_claims
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.receipts.merkle_tree import extends, includes, leaf_hash
from kvproxy.receipts.receipt_claims import RECEIPT_TYP
from kvproxy.receipts.signed_note import verify_checkpoint
from kvproxy.receipts.statement_check import check_statements
from kvproxy.receipts.statement_claims import receipt_leaf
from tests.receipts.booked_reads import AT, read_of
from tests.receipts.booked_rows import book, booking_of


def caller(name: str, permissions: frozenset[Permission] = ALL_PERMISSIONS - {"admin"}) -> Caller:
    return Caller(name, f"tenant:{name}", permissions=permissions)


ACME, ALICE = caller("acme"), caller("alice")


@pytest.fixture
def database(a_database: Database) -> Database:
    METADATA.create_all(a_database.engine)
    return a_database


@pytest.fixture
def keys(tmp_path: Path) -> HostKeys:
    return HostKeys.open(tmp_path)


@pytest.fixture
def receipts(database: Database, keys: HostKeys) -> Iterator[Receipts]:
    made = Receipts(database, keys, host="kv.example", currency="USD")
    yield made
    assert made.check() == []


def test_a_booking_has_the_receipts_of_the_row_that_it_becomes(
    database: Database, receipts: Receipts
) -> None:
    read = read_of(1, "acme", "zeta")
    early = receipts.of(booking_of(read))
    (row,) = book(database, [read])
    assert early == receipts.of(row) and len(early) == 2


async def test_a_receipt_by_id_is_the_same_and_for_its_parties_alone(
    database: Database, receipts: Receipts, keys: HostKeys
) -> None:
    (row,) = book(database, [read_of(1, "acme", "zeta")])
    first, second = receipts.of(row)
    id = keys.verify(first, RECEIPT_TYP)["id"]
    assert await receipts.get(id, ACME) == await receipts.get(id, ALICE) == first
    for stranger in (caller("zeta"), caller("bob")):
        with pytest.raises(ReceiptNotFound):
            await receipts.get(id, stranger)
    assert await receipts.get(keys.verify(second, RECEIPT_TYP)["id"], caller("zeta")) == second
    assert await receipts.of_request(row.id, ALICE) == (first, second)
    for unknown in ("rcpt_unknown", "chatcmpl-1", ""):
        with pytest.raises(ReceiptNotFound):
            await receipts.get(unknown, ALICE)
    with pytest.raises(ReceiptNotFound):
        await receipts.of_request(row.id, ACME)


async def test_a_receipt_is_made_again_with_the_key_of_its_time(
    database: Database, receipts: Receipts, keys: HostKeys
) -> None:
    (row,) = book(database, [read_of(1)])
    (before,) = receipts.of(row)
    keys.rotate(now_ms=row.at_ms)
    (later,) = book(database, [read_of(1000)])
    assert receipts.of(row) == (before,)
    heads = {text.split(".")[0] for text in (before, *receipts.of(later))}
    assert len(heads) == 2 and keys.verify(before, RECEIPT_TYP)


async def test_a_statement_holds_with_its_receipts_and_sums_to_them(
    database: Database, receipts: Receipts, keys: HostKeys
) -> None:
    reads = [read_of(n, *(["acme", "zeta"] if n % 2 else ["zeta"])) for n in range(8)]
    rows = book(database, reads[:6])
    book(database, [taken_back(rows[1], at_ms=(AT + 6 * 600) * 1000, reason="cut off"), *reads[6:]])
    whole = await receipts.statement("acme", AT, AT + 99_000, ACME, receipts=True)
    assert (whole.claims["first"], whole.claims["size"], len(whole.receipts)) == (0, 5, 5)
    check = check_statements([whole.jws], whole.receipts, keys.jwks())
    assert check.faults == () and check.matched == 5
    assert check.publisher_nano == parse_nano(whole.claims["publisher_share"]) == 3 * 250_000
    checkpoint = verify_checkpoint(whole.checkpoint, keys.jwks())
    assert whole.claims["log"] == {"size": 9, "root": checkpoint.root.hex()}


async def test_statements_of_days_chain(database: Database, receipts: Receipts, keys: HostKeys) -> None:
    book(database, [read_of(n) for n in range(9)])
    days = [await receipts.statement("acme", AT + a * 600, AT + b * 600, ACME) for a, b in ((0, 4), (4, 9))]
    assert [(d.claims["first"], d.claims["size"]) for d in days] == [(0, 4), (4, 9)]
    assert days[0].claims["root"] == days[1].claims["root_before"]
    everything = await receipts.statement("acme", 0, AT + 99_000, ACME, receipts=True)
    check = check_statements([d.jws for d in (*days, everything)], everything.receipts, keys.jwks())
    assert check.faults == ()
    nothing = await receipts.statement("acme", AT + 99_000, AT + 99_001, ACME)
    assert (nothing.claims["first"], nothing.claims["size"], nothing.claims["receipts"]) == (9, 9, [])


async def test_a_row_that_is_changed_later_contradicts_the_statement(
    database: Database, keys: HostKeys, tmp_path: Path
) -> None:
    receipts = Receipts(database, keys, host="kv.example", currency="USD")
    rows = book(database, [read_of(n) for n in range(5)])
    good = await receipts.statement("acme", 0, AT + 9999, ACME, receipts=True)
    await receipts.checkpoint()
    forged = rows[2].body.replace('"publisher_share":"250000"', '"publisher_share":"100000"')
    assert forged != rows[2].body
    with database.transaction() as db:
        db.execute(update(LEDGER_ROWS).where(LEDGER_ROWS.c.seq == 3).values(body=forged, hash="0" * 64))
    now = await receipts.statement("acme", 0, AT + 9999, ACME, receipts=True)
    check = check_statements([now.jws], now.receipts, keys.jwks())
    changed = unverified_claims(good.receipts[2])["id"]
    assert [(f.kind, f.what) for f in check.faults] == [("changed", changed)]
    assert receipts.check() != []
    with database.transaction() as db:  # and where the leaves are made anew, the old receipts prove it
        db.execute(delete(RECEIPT_LEAVES))
    lied = await receipts.statement("acme", 0, AT + 9999, ACME)
    check = check_statements([good.jws, lied.jws], good.receipts, keys.jwks())
    assert {f.kind for f in check.faults} == {"chain", "changed", "total"} - {"total"}
    assert changed in {f.what for f in check.faults}


async def test_who_may_have_a_statement(receipts: Receipts) -> None:
    with pytest.raises(PermissionDenied, match="Only the publisher"):
        await receipts.statement("acme", 0, AT, ALICE)
    with pytest.raises(PermissionDenied, match="scope `ledger`"):
        await receipts.statement("acme", 0, AT, caller("acme", frozenset({"read"})))
    with pytest.raises(InvalidRequest):
        await receipts.statement("acme", AT, AT, ACME)
    admin = caller("root", ALL_PERMISSIONS)
    assert (await receipts.statement("acme", 0, AT, admin)).claims["size"] == 0


async def test_proofs_of_a_publishers_log(database: Database, receipts: Receipts) -> None:
    book(database, [read_of(n) for n in range(3)])
    early = await receipts.statement("acme", 0, AT + 99_000, ACME, receipts=True)
    book(database, [read_of(n) for n in range(3, 8)])
    late = await receipts.statement("acme", 0, AT + 99_000, ACME)
    roots = [bytes.fromhex(s.claims["root"]) for s in (early, late)]
    growth = await receipts.growth_proof("acme", 3, 8, ACME)
    assert extends(3, 8, growth.path, *roots) and growth.root == roots[1]
    claims = unverified_claims(early.receipts[1])
    proof = await receipts.receipt_proof("acme", claims["id"], ACME)
    assert proof.index == 1 and includes(receipt_leaf(claims), 1, 8, proof.path, roots[1])
    with pytest.raises(ReceiptNotFound):
        await receipts.receipt_proof("acme", "rcpt_other", ACME)
    with pytest.raises(InvalidRequest):
        await receipts.growth_proof("acme", 0, 9, ACME)


async def test_checkpoints_grow_from_their_edge(
    database: Database, receipts: Receipts, keys: HostKeys
) -> None:
    empty = verify_checkpoint(await receipts.checkpoint(), keys.jwks())
    assert empty.size == 0
    rows = book(database, [read_of(n) for n in range(5)])
    one = verify_checkpoint(await receipts.checkpoint(), keys.jwks())
    rows += book(database, [read_of(n) for n in range(5, 12)])
    two = verify_checkpoint(await receipts.checkpoint(), keys.jwks())
    assert (one.size, two.size) == (5, 12) and await receipts.checkpoint() == await receipts.checkpoint()
    proof = await receipts.log_growth(5, 12)
    assert extends(5, 12, proof.path, one.root, two.root)
    mine = await receipts.row_proof(rows[6].id, ALICE)
    assert includes(leaf_hash(bytes.fromhex(rows[6].hash)), 6, 12, mine.path, two.root)
    with pytest.raises(ReceiptNotFound):
        await receipts.row_proof(rows[6].id, ACME)
    with database.snapshot() as db:
        assert db.execute(select(func.count()).select_from(LOG_EDGES)).scalar_one() == 2


async def test_many_reads_in_one_log(database: Database, receipts: Receipts, keys: HostKeys) -> None:
    """More than one batch of leaves, and two processes that write them."""
    book(database, [replace(read_of(n), at_ms=(AT + n) * 1000) for n in range(1201)])
    other = Receipts(database, keys, host="kv.example", currency="USD")
    one = await receipts.statement("acme", 0, AT + 99_000, ACME)
    two = await other.statement("acme", 0, AT + 99_000, ACME)
    assert one.claims["size"] == 1201 and one.claims["root"] == two.claims["root"]
