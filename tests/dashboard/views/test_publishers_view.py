from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvproxy.dashboard.views.publishers_view import (
    FAULTS,
    OTHERS,
    CheckedStatement,
    checked_statement,
    document_rows,
    publisher_rows,
    publishers_view,
)
from kvproxy.ledger.bookings import Balance
from kvproxy.ledger.ledger_reading import Aggregate
from kvproxy.receipts.canonical_jws import unverified_claims
from kvproxy.receipts.checkpoint_check import check_checkpoints
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms
from kvproxy.receipts.receipt_claims import receipt_claims
from kvproxy.receipts.statement_check import check_statements
from tests.receipts.booked_reads import read_of
from tests.receipts.test_statement_check import Log


def aggregate(name: str, reads: int = 1, share: int = 40) -> Aggregate:
    return Aggregate(name, reads, 0, 1000 * reads, 0, 50 * reads, share, 0, 0)


def test_documents_that_may_not_be_named_are_one_row() -> None:
    found = [aggregate("handbook@3", 2), aggregate("secret@1", 3), aggregate("secret@2", 4)]
    rows = document_rows(found, lambda name: name == "handbook@3")
    assert [(row.name, row.reads) for row in rows] == [("handbook@3", 2), (OTHERS, 7)]
    assert rows[1].share == 80
    assert [row.name for row in document_rows(found, lambda name: True)] == [one.name for one in found]


def test_the_sums_of_a_period_and_its_pages() -> None:
    documents = publisher_rows([aggregate(f"d{n}@1") for n in range(60)])
    view = publishers_view(
        "acme",
        "USD",
        Balance(5, 0, None, 90),
        ("2026-11-01", "2026-12-01"),
        documents=documents,
        days=publisher_rows([aggregate("2026-11-02", 60)]),
        publishers=None,
        query={"documents": "51"},
    )
    assert (view.sums.reads, view.sums.share) == (60, 2400)
    assert view.documents.first == 51 and len(view.documents.rows) == 10
    assert view.publishers is None and view.days[0].name == "2026-11-02"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    keys = HostKeys.open(tmp_path)
    names = ReaderPseudonyms(keys.pseudonym_secret)
    claims = [receipt_claims(read_of(n), 0, host="kv.example", names=names) for n in range(4)]
    return Log(keys, [one | {"iat": one["iat"] + 120} for one in claims])


def told(log: Log, statement: str, receipts: list[str], *, compared: bool = True) -> CheckedStatement:
    jwks: dict[str, Any] = log.keys.jwks()
    check = check_statements([statement], receipts, jwks, complete=compared)
    claims = unverified_claims(statement)
    faults = check_checkpoints([statement], [], jwks)
    return checked_statement(claims, "k1", check, faults, compared=compared)


def test_every_line_of_a_sound_statement_holds(log: Log) -> None:
    statement = log.statement(0, 4)
    checked = told(log, statement, log.receipts)
    assert checked.sound and checked.faults == () and checked.reads == 4
    assert [line.holds for line in checked.lines] == [True] * 5
    assert unverified_claims(statement)["root"] in checked.lines[1].text
    assert "4 of 4 receipts" in checked.lines[2].text


def test_a_changed_root_and_a_missing_receipt_are_lines_that_fail(log: Log) -> None:
    checked = told(log, log.statement(0, 4, more={"root": "00" * 32}), log.receipts[:3])
    assert not checked.sound
    assert [line.holds for line in checked.lines] == [True, False, False, True, True]
    assert any("was added" in fault for fault in checked.faults)


def test_a_forged_signature_fails(log: Log) -> None:
    head, payload, signature = log.statement(0, 4).split(".")
    checked = told(log, f"{head}.{payload}.{signature[::-1]}", log.receipts)
    assert not checked.sound and not checked.lines[0].holds


def test_without_its_receipts_a_statement_has_no_lines_of_them(log: Log) -> None:
    checked = told(log, log.statement(0, 4), [], compared=False)
    assert checked.sound and len(checked.lines) == 3


@pytest.mark.parametrize("text", ["", "a.b.c", "e30.e30.e30", "e30.eyJyZWNlaXB0cyI6MX0.e30"])
def test_what_is_no_statement_is_one_line_that_fails(log: Log, text: str) -> None:
    checked = told(log, text, [])
    assert not checked.sound and [line.holds for line in checked.lines] == [False]
    assert checked.faults


def test_faults_are_bounded(log: Log) -> None:
    claims = [log.claims[0] | {"id": f"rcpt_{number}"} for number in range(FAULTS + 9)]
    many = Log(log.keys, claims)
    checked = told(many, many.statement(0, len(claims)), [])
    assert len(checked.faults) == FAULTS and checked.left_out == 9
