"""kill -9 of a process that settles requests, again and again: what was promised is booked once, to the token."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_LEASES, LEDGER_PROCESSES, LEDGER_ROWS
from kvproxy.ledger.ledger_check import check
from tests.ledger.made_bookings import a_clerk, reprice
from tests.ledger.settling_program import STREAMS

ROOT = Path(__file__).parent.parent.parent


def killed_run(folder: Path, url: str | None, run: int) -> dict[str, tuple[int, int]]:
    """Start the program, kill it after some promises, and return them all."""
    command = [sys.executable, "-m", "tests.ledger.settling_program", str(folder), url or "", str(run)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        lines = [program.stdout.readline() for _ in range(random.Random(run).randrange(1, 200))]
        program.kill()
        lines += program.stdout.readlines()
    assert program.returncode == -9 and lines[0]
    promised = {}
    for line in lines:
        if line.endswith(b"\n"):
            id, prompt, cached = line.decode().split()
            promised[id] = (int(prompt), int(cached))
    return promised


def kill_again_and_again(database: Database, folder: Path, kills: int) -> None:
    url = None if database.is_sqlite else database.url.render_as_string(hide_password=False)
    promised: dict[str, tuple[int, int]] = {}
    for run in range(kills):
        promised |= killed_run(folder, url, run)
    a_clerk(database, folder / "ledger").close()  # books what the last one left
    with database.snapshot() as db:
        rows = [row for row in db.execute(select(LEDGER_ROWS)) if row.kind == "read"]
        assert db.execute(select(LEDGER_LEASES)).all() == []
        assert db.execute(select(LEDGER_PROCESSES)).all() == []
    booked = {row.id: (row.prompt_tokens, row.cached_tokens) for row in rows}
    assert {id: booked.get(id) for id in promised} == promised
    assert len(rows) == len(booked) <= len(promised) + STREAMS * kills
    assert check(database, reprice) == []
    assert list((folder / "ledger").iterdir()) == []


def test_three_kills_lose_and_double_nothing(ledger_database: Database, tmp_path: Path) -> None:
    kill_again_and_again(ledger_database, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_kills_lose_and_double_nothing(ledger_database: Database, tmp_path: Path) -> None:
    """KVPROXY_KILLS=50 kills as often."""
    kill_again_and_again(ledger_database, tmp_path, int(os.environ.get("KVPROXY_KILLS", "15")))
