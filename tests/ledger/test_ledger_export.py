"""Exports keep text as text, in whatever program opens them."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest

from kvproxy.database.database import Database
from kvproxy.errors import SetupError
from kvproxy.ledger.batch_booking import book_batch
from kvproxy.ledger.booking_sql import add_head
from kvproxy.ledger.ledger_export import export_rows
from tests.ledger.made_bookings import NOW_MS, booking


def test_a_formula_is_exported_as_text(ledger_database: Database, tmp_path: Path) -> None:
    odd = dataclasses.replace(booking("r1"), tenant="=HYPERLINK(1)", key=None)
    with ledger_database.transaction() as db:
        add_head(db)
    book_batch(ledger_database, "p", [odd, booking("r2")])
    assert export_rows(ledger_database, tmp_path / "all.csv", "csv") == 2
    first, second = csv.DictReader((tmp_path / "all.csv").read_text(encoding="utf-8").splitlines())
    assert first["reader"] == "'=HYPERLINK(1)" and second["reader"] == "alice"
    assert export_rows(ledger_database, tmp_path / "none.csv", "csv", since_ms=NOW_MS + 1) == 0
    with pytest.raises(SetupError, match="cannot write"):
        export_rows(ledger_database, tmp_path / "no" / "all.csv", "csv")
