"""``kvproxy ledger``: credit, show, export, check, refund, on the configuration's database."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from kvproxy.cli.app import app
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.ledger.batch_booking import book_batch
from kvproxy.ledger.booking_sql import add_head
from kvproxy.receipts.log_checkpoints import LogCheckpoints
from tests.ledger.made_bookings import booking


def call(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["ledger", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store in which alice has read twice, without a tariff that is recorded."""
    folder = tmp_path / "store"
    with Database.open(None, folder) as database:
        migrate(database)
        with database.transaction() as db:
            add_head(db)
        book_batch(database, "p", [booking("r1"), booking("r2")])
    return folder


def test_credit_and_refund(store: Path) -> None:
    status, out = call("credit", "alice", "2.50", "--promotional", "--id", "c1", "--store", store)
    assert (status, out) == (0, "credited 2.5 USD; the balance of alice is 2.499998 USD\n")
    assert call("credit", "alice", "2.50", "--promotional", "--id", "c1", "--store", store)[1] == out
    status, out = call("refund", "r1", "--reason", "cut off", "--store", store)
    assert status == 0 and out.startswith("row 4 takes back r1: reader:alice 0.000001")
    assert call("refund", "r1", "--store", store)[1] == out
    assert call("refund", "r9", "--store", store) == (1, "kvproxy: The ledger has no row 'r9'.\n")
    assert call("credit", "alice", "much", "--store", store)[0] == 2


@pytest.mark.parametrize("by", ["reader", "publisher", "document", "model", "day"])
def test_show(store: Path, by: str) -> None:
    status, out = call("show", "--by", by, "--store", store)
    assert (status == 0 and "0.000002" in out) or "0.0000004" in out
    (one,) = json.loads(call("show", "--by", by, "--json", "--store", store)[1])["data"]
    assert one["requests"] == 2 and one["cached_tokens"] == 40
    assert "no request in this time" in call("show", "--by", by, "--until", "2000-01-01", "--store", store)[1]


def test_export(store: Path, tmp_path: Path) -> None:
    for name in ("ledger.csv", "ledger.json", "ledger.parquet"):
        assert call("export", tmp_path / name, "--store", store) == (
            0,
            f"wrote 2 rows to {tmp_path / name}\n",
        )
    rows = list(csv.DictReader((tmp_path / "ledger.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["id"] for row in rows] == ["r1", "r2"] and rows[0]["cost_nano"] == "1000"
    whole = json.loads((tmp_path / "ledger.json").read_text())
    assert [one["body"]["id"] for one in whole] == ["r1", "r2"] and len(whole[0]["hash"]) == 64
    table = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert [row["cost_nano"] for row in table] == [1000, 1000]
    status, out = call("export", tmp_path / "ledger.txt", "--store", store)
    assert status == 2 and "--format" in out
    status, out = call("export", tmp_path / "none.parquet", "--until", "2000-01-01", "--store", store)
    assert status == 2 and "no rows" in out


def test_check(store: Path) -> None:
    """The tariff of these rows was never recorded: each is named. A row of no tariff is not."""
    status, out = call("check", "--store", store)
    assert status == 1 and "row 1 (r1): its tariff 'tariff-1'" in out and "2 faults in 2 rows" in out


def test_a_sound_ledger_checks(tmp_path: Path) -> None:
    call("credit", "alice", "1", "--store", tmp_path / "store")
    status, out = call("check", "--store", tmp_path / "store")
    assert status == 0 and out.startswith("the ledger holds: 1 rows")
    with Database.open(None, tmp_path / "store") as database, database.transaction() as db:
        db.execute(text("UPDATE ledger_balances SET nano = nano + 1"))
    status, out = call("check", "--store", tmp_path / "store")
    assert status == 1 and "the balance of reader:alice is" in out


def test_a_ledger_that_contradicts_a_checkpoint_does_not_check(tmp_path: Path) -> None:
    """The rows may hold by themselves: what was published about them tells."""
    call("credit", "alice", "1", "--store", tmp_path / "store")
    with Database.open(None, tmp_path / "store") as database:
        LogCheckpoints(database).advance()
        assert call("check", "--store", tmp_path / "store")[0] == 0
        with database.transaction() as db:
            db.execute(text("UPDATE log_edges SET root = 'ff'"))
    status, out = call("check", "--store", tmp_path / "store")
    assert status == 1 and "checkpoint: the first 1 rows are not those" in out
